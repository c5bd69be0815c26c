import ij.ImagePlus;
import ij.io.Opener;
import ij.measure.Calibration;
import ij.process.ImageProcessor;
import java.io.File;

/** Opens images as ImageJ's File > Open does, and prints a line of JSON for each. */
public class OpenImages {
    public static void main(String[] files) {
        for (String file : files) {
            ImagePlus image = new Opener().openImage(file);
            System.out.println("{\"name\": \"" + new File(file).getName() + "\"" + (image == null ? "" : facts(image)) + "}");
        }
        System.exit(0);
    }

    private static String facts(ImagePlus image) {
        double sum = 0, largest = 0;
        for (int plane = 1; plane <= image.getStackSize(); plane++) {
            ImageProcessor pixels = image.getStack().getProcessor(plane);
            for (int i = 0; i < pixels.getPixelCount(); i++) {
                sum += pixels.getf(i);
                largest = Math.max(largest, pixels.getf(i));
            }
        }
        Calibration size = image.getCalibration();
        return String.format(
            java.util.Locale.ROOT,
            ", \"width\": %d, \"height\": %d, \"planes\": %d, \"bits\": %d, \"sum\": %f, \"largest\": %f, "
                + "\"size\": [%f, %f], \"unit\": \"%s\"",
            image.getWidth(), image.getHeight(), image.getStackSize(), image.getBitDepth(), sum, largest,
            size.pixelHeight, size.pixelWidth, size.getUnit());
    }
}
