"""The letters of the ways in which axes run are those of nibabel."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nifti_files import ORIENTATIONS, affine_of

from unetkit.io.base.space import Space


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_each_orientation_has_its_letters(axes, signs):
    affine = affine_of(axes, signs)
    assert Space(tuple(map(tuple, affine))).axis_codes == "".join(nib.aff2axcodes(affine))


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(st.floats(0.1, 9), min_size=3, max_size=3))
def test_a_turned_volume_has_the_letters_of_the_nearest_axes(angles, sizes):
    turned = nib.eulerangles.euler2mat(*angles)
    nearest = np.sort(np.abs(turned), axis=0)
    if (nearest[2] - nearest[1]).min() < 0.05:  # between two axes
        return
    if len(set(np.abs(turned).argmax(axis=0))) < 3:  # two axes are nearest to the same one
        return
    affine = nib.affines.from_matvec(turned @ np.diag(sizes), [0, 0, 0])
    found = Space(tuple(map(tuple, affine))).axis_codes
    assert found == "".join(nib.aff2axcodes(affine))
