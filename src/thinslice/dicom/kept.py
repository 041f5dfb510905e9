"""Which attributes are read at all, and which of them a derived series may carry on.

Reading names what it wants, so a header costs little memory and nothing else about the patient is
ever held. The lists follow the allow-list of the derived series: what is not named here is not
written.
"""

from __future__ import annotations

COPIED = (
    # patient and study: must match the study that the result joins
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex OtherPatientIDsSequence EthnicGroup "
    "PatientAge PatientSize PatientWeight PatientIdentityRemoved DeidentificationMethod "
    "DeidentificationMethodCodeSequence LongitudinalTemporalInformationModified "
    "StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber ReferringPhysicianName "
    "TimezoneOffsetFromUTC "
    # series and frame of reference
    "FrameOfReferenceUID PositionReferenceIndicator Modality PatientPosition Laterality BodyPartExamined "
    "AnatomicRegionSequence ProtocolName ContrastBolusAgent ContrastBolusRoute "
    # true of every output voxel
    "AcquisitionDate AcquisitionTime AcquisitionNumber KVP ConvolutionKernel DataCollectionDiameter "
    "ReconstructionDiameter FilterType RotationDirection ScanOptions"
).split()
"""Copied where present and equal in all source slices."""

EQUIPMENT = ("Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName", "SoftwareVersions")
"""Of the scanner: moved into ContributingEquipmentSequence."""

TRANSFORMED = [
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "WindowCenter",
    "WindowWidth",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "ContributingEquipmentSequence",
    "SpecificCharacterSet",
]
"""Read for writing, but not copied as they are."""

_GEOMETRY_AND_PIXELS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "FrameType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "GantryDetectorTilt",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "SyntheticData",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "InstanceNumber",
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
    "SOPInstanceUIDOfConcatenationSource",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]

WANTED = (*COPIED, *EQUIPMENT, *TRANSFORMED, *_GEOMETRY_AND_PIXELS)
