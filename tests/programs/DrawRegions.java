import ij.ImagePlus;
import ij.gui.*;
import ij.io.FileSaver;
import ij.io.RoiEncoder;
import ij.process.ByteProcessor;
import java.util.LinkedHashMap;
import java.util.Map;

/** Saves regions of each type in a folder, and beside each the mask that ImageJ makes of it. */
public class DrawRegions {
    public static void main(String[] args) throws Exception {
        Map<String, Roi> rois = new LinkedHashMap<>();
        rois.put("rectangle", new Roi(10, 20, 40, 30));
        rois.put("rectangle-fine", new Roi(10.25, 20.75, 40.5, 30.25));
        rois.put("rounded", new Roi(10, 20, 60, 40, 16));
        rois.put("oval", new OvalRoi(10, 20, 41, 30));
        rois.put("oval-large", new OvalRoi(5, 6, 101, 80));
        rois.put("oval-small", new OvalRoi(20, 20, 4, 3));
        rois.put("ellipse", new EllipseRoi(20, 20, 90, 70, 0.5));
        rois.put("rotated", new RotatedRectRoi(20, 20, 80, 60, 25));
        rois.put("polygon", new PolygonRoi(new int[] {10, 70, 95, 40}, new int[] {12, 5, 60, 80}, 4, Roi.POLYGON));
        rois.put("traced", new PolygonRoi(new int[] {10, 20, 20, 30, 30, 10}, new int[] {10, 10, 15, 15, 40, 40}, 6, Roi.TRACED_ROI));
        float[] x = new float[60], y = new float[60];
        for (int i = 0; i < 60; i++) {
            double angle = i * Math.PI / 30, radius = 25 + 12 * Math.sin(5 * angle);
            x[i] = (float) (60.3 + radius * Math.cos(angle));
            y[i] = (float) (48.8 + radius * Math.sin(angle));
        }
        rois.put("freehand", new PolygonRoi(x, y, 60, Roi.FREEROI));
        ShapeRoi ring = new ShapeRoi(new Roi(10, 10, 60, 60)).not(new ShapeRoi(new Roi(25, 30, 20, 10)));
        rois.put("composite", ring.or(new ShapeRoi(new Roi(90, 60, 20, 20))));
        for (Map.Entry<String, Roi> one : rois.entrySet()) {
            ByteProcessor pixels = new ByteProcessor(130, 100);
            pixels.setValue(255);
            pixels.fill(one.getValue());
            RoiEncoder.save(one.getValue(), args[0] + "/" + one.getKey() + ".roi");
            new FileSaver(new ImagePlus("", pixels)).saveAsTiff(args[0] + "/" + one.getKey() + ".tif");
        }
    }
}
