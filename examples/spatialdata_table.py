"""Load labels and the table of their objects into SpatialData, which joins them by `region` and `label`.

    unetkit segment image.tif nuclei.zarr --output labels --table objects.csv
    python examples/spatialdata_table.py nuclei.zarr objects.csv

Needs `pip install spatialdata`.
"""

import sys

import anndata
import dask.array
import pandas
import spatialdata
from spatialdata.models import Labels2DModel, Labels3DModel, TableModel


def load(labels: str, table: str) -> spatialdata.SpatialData:
    """Return labels and table. The numbers of each object are `X`, its region and label `obs`."""
    rows = pandas.read_csv(table, dtype={"region": "category"})
    numbers = rows.drop(columns="label").select_dtypes("number")
    others = rows.drop(columns=numbers.columns).rename(index=str)
    cells = anndata.AnnData(numbers.to_numpy("float32"), others, pandas.DataFrame(index=numbers.columns))
    region = rows["region"].iloc[0]
    objects = TableModel.parse(cells, region=region, region_key="region", instance_key="label")
    array = dask.array.from_zarr(labels, component="0")
    pixels = Labels2DModel.parse(array) if array.ndim == 2 else Labels3DModel.parse(array)
    return spatialdata.SpatialData(labels={region: pixels}, tables={"objects": objects})


if __name__ == "__main__":
    print(load(*sys.argv[1:3]))
