"""Draw a window of an image with the outline of its mask, or of each object of its labels.

Run it as

    python examples/look_at_result.py image.tif mask.tif picture.png --window 0,0,512,512
"""

import argparse
from pathlib import Path

import cv2

from unetkit.drawing.pixels import PREDICTION, draw_contours, resize, to_display
from unetkit.io.files import open_image

ZOOM = 2


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--window", default="0,0,512,512", help="y,x,height,width in pixels")
    options = parser.parse_args(args)

    image, mask = open_image(options.image), open_image(options.mask)
    y, x, height, width = (int(number) for number in options.window.split(","))
    rows, columns = slice(y, min(y + height, image.info.height)), slice(x, min(x + width, image.info.width))
    shown = to_display(image.read(0, (rows, columns)))
    shown = resize(shown, ZOOM * shown.shape[0], ZOOM * shown.shape[1])
    drawn = draw_contours(shown, mask.read(0, (rows, columns))[0], PREDICTION)
    cv2.imwrite(str(options.picture), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    print(f"{options.picture}: rows {rows.start}-{rows.stop}, columns {columns.start}-{columns.stop}")


if __name__ == "__main__":
    main()
