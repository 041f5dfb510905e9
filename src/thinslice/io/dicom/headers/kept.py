"""Which attributes are read at all, and which of them a derived series may carry on.

Reading names what it wants, so a header costs little memory and nothing else about the patient is
ever held. The lists follow the allow-list of the derived series: what is not named here is not
written.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CLINICAL_TRIAL_SUBJECT = _names(
    """
    ClinicalTrialSponsorName ClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence ClinicalTrialProtocolName
    ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    """
)
CLINICAL_TRIAL_STUDY = _names(
    """
    ClinicalTrialTimePointID ClinicalTrialTimePointDescription ClinicalTrialTimePointTypeCodeSequence
    LongitudinalTemporalOffsetFromEvent LongitudinalTemporalEventType ConsentForClinicalTrialUseSequence
    """
)

PATIENT_AND_STUDY = _names(
    """
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID
    SourcePatientGroupIdentificationSequence GroupOfPatientsIdentificationSequence ReferencedPatientSequence
    ReferencedPatientPhotoSequence PatientBirthDate PatientBirthTime PatientBirthDateInAlternativeCalendar
    PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar PatientSex OtherPatientIDs OtherPatientIDsSequence
    OtherPatientNames EthnicGroup EthnicGroupCodeSequence PatientComments QualityControlSubject
    PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    BreedRegistrationSequence StrainDescription StrainNomenclature StrainCodeSequence StrainAdditionalInformation
    StrainStockSequence GeneticModificationsSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    LongitudinalTemporalInformationModified
    StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber IssuerOfAccessionNumberSequence
    ReferringPhysicianName ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence
    NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence RequestingServiceCodeSequence
    ReferencedStudySequence ProcedureCodeSequence ReasonForPerformedProcedureCodeSequence TimezoneOffsetFromUTC
    AdmissionID IssuerOfAdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID IssuerOfServiceEpisodeIDSequence
    ServiceEpisodeDescription ReasonForVisit ReasonForVisitCodeSequence AdmittingDiagnosesDescription
    AdmittingDiagnosesCodeSequence AdditionalPatientHistory PatientAge PatientSize PatientSizeCodeSequence PatientWeight
    PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension Occupation MedicalAlerts Allergies SmokingStatus
    PregnancyStatus LastMenstrualDate PatientState PatientSexNeutered
    """
)
"""The result joins the patient and the study of its source: both must say the same of them, in the same words."""

SERIES_AND_ACQUISITION = _names(
    """
    FrameOfReferenceUID PositionReferenceIndicator Modality PatientPosition Laterality BodyPartExamined
    AnatomicRegionSequence ProtocolName ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute
    AcquisitionDate AcquisitionTime AcquisitionNumber KVP ConvolutionKernel DataCollectionDiameter
    ReconstructionDiameter FilterType RotationDirection ScanOptions
    """
)
"""True of every output voxel, or needed to place it."""

OF_THE_STUDY = frozenset((*PATIENT_AND_STUDY, *CLINICAL_TRIAL_SUBJECT, *CLINICAL_TRIAL_STUDY))
COPIED = (*PATIENT_AND_STUDY, *CLINICAL_TRIAL_SUBJECT, *CLINICAL_TRIAL_STUDY, *SERIES_AND_ACQUISITION)
"""Copied where present, valid, and equal in all source slices that say it."""

IN_SEQUENCES = frozenset(
    _names(
        """
        CodeValue LongCodeValue URNCodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning
        AnatomicRegionModifierSequence
        PatientID IssuerOfPatientID TypeOfPatientID
        Manufacturer InstitutionName StationName ManufacturerModelName SoftwareVersions ContributionDateTime
        ContributionDescription PurposeOfReferenceCodeSequence
        """
    )
)
"""What items of copied sequences may hold: codes, identifiers of the patient, equipment."""

IN_SEQUENCES_OF_THE_STUDY = IN_SEQUENCES | frozenset(
    _names(
        """
        ContextIdentifier ContextUID ContextGroupVersion ContextGroupExtensionFlag ContextGroupLocalVersion
        ContextGroupExtensionCreatorUID MappingResource MappingResourceUID MappingResourceName EquivalentCodeSequence
        LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType IdentifierTypeCode AssigningFacilitySequence
        AssigningJurisdictionCodeSequence AssigningAgencyOrDepartmentCodeSequence IssuerOfPatientIDQualifiersSequence
        SubjectRelativePositionInImage ReferencedSOPClassUID ReferencedSOPInstanceUID ReferencedSOPSequence
        TypeOfInstances StudyInstanceUID SeriesInstanceUID DICOMRetrievalSequence RetrieveAETitle
        PersonIdentificationCodeSequence InstitutionCodeSequence InstitutionalDepartmentName
        InstitutionalDepartmentTypeCodeSequence
        BreedRegistrationNumber BreedRegistryCodeSequence StrainStockNumber StrainSource
        StrainSourceRegistryCodeSequence StrainCodeSequence GeneticModificationsDescription
        GeneticModificationsNomenclature GeneticModificationsCodeSequence
        ClinicalTrialProtocolID DistributionType ConsentForDistributionFlag
        """
    )
)
"""What items that identify patient, study or physician may hold as well; no addresses and no telephone numbers."""

EQUIPMENT = _names("Manufacturer InstitutionName StationName ManufacturerModelName SoftwareVersions")
"""Of the scanner: moved into ContributingEquipmentSequence."""

TRANSFORMED = _names(
    """
    SeriesInstanceUID SeriesNumber SeriesDescription WindowCenter WindowWidth BurnedInAnnotation
    RecognizableVisualFeatures LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    ContributingEquipmentSequence SpecificCharacterSet
    """
)
"""Read for writing, but not copied as they are."""

_GEOMETRY_AND_PIXELS = _names(
    """
    SOPClassUID SOPInstanceUID ImageType FrameType ImagePositionPatient ImageOrientationPatient PixelSpacing
    SliceThickness GantryDetectorTilt Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit RescaleSlope
    RescaleIntercept RescaleType ModalityLUTSequence SyntheticData
    TemporalPositionIdentifier TriggerTime NominalPercentageOfCardiacPhase InstanceNumber
    ConcatenationUID InConcatenationNumber InConcatenationTotalNumber ConcatenationFrameOffsetNumber
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    """
)

_TELLS_VOLUMES_APART = _names(
    """
    AcquisitionDateTime ContentTime ContentDate SeriesTime SeriesDate InstanceCreationTime IrradiationEventUID
    ImageComments ExposureTime XRayTubeCurrent Exposure FocalSpots TableHeight TableSpeed SpiralPitchFactor
    AcquisitionType NominalCardiacTriggerDelayTime
    """
)
"""Compared between the slices of a series (`passes`); never written."""

WANTED = (*COPIED, *EQUIPMENT, *TRANSFORMED, *_GEOMETRY_AND_PIXELS, *_TELLS_VOLUMES_APART)

UNPAIRED_BODY_PARTS = frozenset(
    _names(
        """
        ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER BRAIN CEREBELLUM CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS
        CIRCLEOFWILLIS COCCYX COLON CORONARYARTERY CSPINE CTSPINE DUODENUM ESOPHAGUS FACE GALLBLADDER HEAD HEADNECK
        HEART ILEUM ILIUM JAW JEJUNUM LARYNX LIVER LSPINE LSSPINE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST
        NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS PELVIS PENIS PHARYNX PROSTATE RECTUM SCALP SKULL SPINE SPLEEN
        SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE TONGUE TRACHEA TSPINE URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY
        """
    )
)
"""BodyPartExamined terms that need no laterality (PS3.16 annex L, as dciodvfy sees them)."""

FACELESS_BODY_PARTS = frozenset(
    _names(
        """
        ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER CHEST CHESTABDOMEN CHESTABDPELVIS COCCYX COLON CORONARYARTERY DUODENUM
        GALLBLADDER HEART ILEUM ILIUM JEJUNUM LIVER LSPINE LSSPINE PANCREAS PELVIS PROSTATE RECTUM SPLEEN SSPINE STERNUM
        STOMACH THYMUS TSPINE URETER UTERUS
        """
    )
)
"""BodyPartExamined terms of images that cannot show a face."""
