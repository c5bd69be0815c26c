"""Volumes of medicine: NIfTI, DICOM, NRRD and MetaImage."""
