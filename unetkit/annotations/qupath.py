"""GeoJSON as QuPath writes it: annotations, detections and cells with their classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unetkit.annotations.json_stream import stream_json
from unetkit.annotations.objects import Annotations, Drawn, Part, Place, broken, ring, without_area

WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")

GEOMETRIES = ("Polygon", "MultiPolygon", "GeometryCollection", *WITHOUT_AREA)

GEOJSON = re.compile(
    rf'"type"\s*:\s*"(FeatureCollection|Feature|{"|".join(GEOMETRIES)})"|"(features|geometry|coordinates)"\s*:'
)


def is_geojson(path: Path, start: str) -> bool:  # noqa: ARG001
    """Whether a file is GeoJSON, by its first characters."""
    return GEOJSON.search(start) is not None


def read_geojson(path: Path, image: str) -> Annotations:  # noqa: ARG001  # a file is of one image
    """Read a FeatureCollection, a list of features, one feature or one geometry.

    Raises:
        DataError: It cannot be read.
    """
    objects: list[Drawn] = []
    left_out: Counter[str] = Counter()
    for number, feature in enumerate(_features(path), start=1):
        if not isinstance(feature, dict):
            raise broken(path, f"object {number}", "is no feature")
        _read_feature(path, number, feature, objects, left_out)
    return Annotations(path, objects, notes=without_area(path, left_out))


def _features(path: Path) -> Iterator[Any]:
    """Yield the features of a file."""
    single: dict[str, Any] = {}
    for key, value in stream_json(path):
        if key in ("", "features"):
            yield value
        elif key in ("coordinates", "geometries"):  # of a file that is one geometry
            single.setdefault(key, []).append(value)
        else:
            single[key] = value
    if {"geometry", "coordinates", "geometries"} & single.keys():
        yield single


def _read_feature(
    path: Path, number: int, feature: Mapping[str, Any], objects: list[Drawn], left_out: Counter[str]
) -> None:
    properties = _as_mapping(feature.get("properties"))
    geometry = feature
    if feature.get("type") == "Feature" or "geometry" in feature:
        nucleus = feature.get("nucleusGeometry") or properties.get("nucleusGeometry")
        geometry = _as_mapping(feature.get("geometry") or nucleus)
    name = _class_of(properties)
    title = f"object {number}{f' ({name})' if name else ''}"
    kind = geometry.get("type")
    if kind in WITHOUT_AREA:
        left_out[str(kind)] += 1
        return
    plane = _as_mapping(geometry.get("plane"))
    try:
        place = Place(z=int(plane.get("z", 0)), t=int(plane.get("t", 0)))
    except (TypeError, ValueError, OverflowError) as error:
        raise broken(path, title, "has a plane without numbers") from error
    objects.append(Drawn(title, tuple(_parts(path, title, geometry)), name, place))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def _class_of(properties: Mapping[str, Any]) -> str:
    """Return the name of an object's class, "" without one.

    Today's QuPath has `classification: {name}` (or `names` of a class derived from others); QuPath 0.1 had the name of
    the class itself. A plain `name` is what other programs write; in a file of QuPath it is a name of the object.
    """
    found = properties.get("classification")
    if isinstance(found, Mapping):
        names = found.get("names")
        return str(found.get("name") or (": ".join(map(str, names)) if names else ""))
    if isinstance(found, str):
        return found
    of_qupath = {"objectType", "object_type", "isLocked", "measurements", "color"} & properties.keys()
    return "" if of_qupath else str(properties.get("name") or "")


def _parts(path: Path, title: str, geometry: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the polygons of a geometry."""
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        several = geometry.get("geometries")
        for one in several if isinstance(several, list) else ():
            if _as_mapping(one).get("type") not in WITHOUT_AREA:
                yield from _parts(path, title, _as_mapping(one))
        return
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(given, list):
        raise broken(
            path, title, f"has a geometry of the type {kind}, which is not known" if kind else "has no geometry"
        )
    for polygon in [given] if kind == "Polygon" else given:
        if not isinstance(polygon, list):
            raise broken(path, title, "has coordinates that are no rings")
        yield tuple(ring(points, title, path) for points in polygon)
