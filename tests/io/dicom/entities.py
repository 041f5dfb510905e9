"""Valid values for every attribute of patient, study and clinical trial that a CT image may have, and faulty ones."""

from __future__ import annotations

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag


def names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OF_THE_PATIENT = names(
    """
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID
    SourcePatientGroupIdentificationSequence GroupOfPatientsIdentificationSequence ReferencedPatientSequence
    ReferencedPatientPhotoSequence PatientBirthDate PatientBirthTime PatientBirthDateInAlternativeCalendar
    PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar PatientSex OtherPatientIDsSequence
    OtherPatientNames EthnicGroup PatientComments QualityControlSubject PatientSpeciesDescription
    PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence
    StrainDescription StrainNomenclature StrainCodeSequence StrainAdditionalInformation StrainStockSequence
    GeneticModificationsSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName
    ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialProtocolEthicsCommitteeName
    ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    """
)
OF_THE_STUDY = names(
    """
    StudyDate StudyTime StudyID StudyDescription AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName
    ReferringPhysicianIdentificationSequence ConsultingPhysicianName ConsultingPhysicianIdentificationSequence
    PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence RequestingServiceCodeSequence ReferencedStudySequence
    ProcedureCodeSequence ReasonForPerformedProcedureCodeSequence AdmissionID IssuerOfAdmissionID
    IssuerOfAdmissionIDSequence ServiceEpisodeID IssuerOfServiceEpisodeIDSequence ServiceEpisodeDescription
    ReasonForVisit ReasonForVisitCodeSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
    AdditionalPatientHistory PatientAge PatientSize PatientSizeCodeSequence PatientWeight PatientBodyMassIndex
    MeasuredAPDimension MeasuredLateralDimension Occupation MedicalAlerts Allergies SmokingStatus PregnancyStatus
    LastMenstrualDate PatientState PatientSexNeutered ClinicalTrialTimePointID ClinicalTrialTimePointDescription
    ConsentForClinicalTrialUseSequence
    """
)
EVERY = (*OF_THE_PATIENT, *OF_THE_STUDY)
TEXTS = tuple(keyword for keyword in EVERY if dictionary_VR(tag_for_keyword(keyword)) not in ("SQ", "US", "FD"))

_BY_VR = {
    "LO": "words of the source",
    "SH": "S-1",
    "LT": "a longer text",
    "ST": "a text",
    "UT": "a text",
    "PN": "One^Two",
    "DA": "20200102",
    "TM": "030405.25",
    "AS": "050Y",
    "DS": "1.65",
    "US": 1,
    "CS": "GREGORIAN",
    "UC": "u",
    "IS": "7",
}
TERMS = {
    "PatientSex": "F",
    "QualityControlSubject": "NO",
    "PatientIdentityRemoved": "YES",
    "SmokingStatus": "UNKNOWN",
    "PatientSexNeutered": "ALTERED",
    "TypeOfPatientID": "TEXT",
    "ResponsiblePersonRole": "OWNER",
    "PatientID": "PID-77",
    "PatientBirthDateInAlternativeCalendar": "5730",
    "StrainNomenclature": "MGI_2013",
    "PatientDeathDateInAlternativeCalendar": "5790",
}


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def code(meaning: str = "Meaning") -> Dataset:
    found = item(CodeValue="113100", CodingSchemeDesignator="DCM", CodeMeaning=meaning)
    found.EquivalentCodeSequence = Sequence([item(CodeValue="7", CodingSchemeDesignator="99X", CodeMeaning="seven")])
    found.private_block(0x0009, "SECRET", create=True).add_new(1, "LO", "vendor value")
    return found


def _designator() -> Dataset:
    return item(LocalNamespaceEntityID="here", UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")


def _person(**institution: object) -> Dataset:
    return item(PersonIdentificationCodeSequence=Sequence([code()]), **institution)


def _reference() -> Dataset:
    return item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID="1.2.3.4.5")


def _items(keyword: str) -> list[Dataset]:
    if keyword.startswith("Issuer"):
        return [_designator()]
    if keyword.endswith("IdentificationSequence") and "Physician" in keyword:
        people = [_person(InstitutionName="House"), _person(InstitutionCodeSequence=Sequence([code()]))]
        return people if keyword.startswith(("PhysiciansOf", "PhysiciansR")) else people[:1]
    made = {
        "SourcePatientGroupIdentificationSequence": [item(PatientID="G1", IssuerOfPatientID="Here")],
        "GroupOfPatientsIdentificationSequence": [item(PatientID="G2", SubjectRelativePositionInImage=[1, 1, 1])],
        "OtherPatientIDsSequence": [item(PatientID="Q", IssuerOfPatientID="There", TypeOfPatientID="TEXT")],
        "ReferencedPatientSequence": [_reference()],
        "ReferencedStudySequence": [_reference(), _reference()],
        "BreedRegistrationSequence": [item(BreedRegistrationNumber="1", BreedRegistryCodeSequence=Sequence([code()]))],
        "StrainStockSequence": [
            item(StrainStockNumber="1", StrainSource="x", StrainSourceRegistryCodeSequence=Sequence([code()]))
        ],
        "GeneticModificationsSequence": [
            item(GeneticModificationsDescription="d", GeneticModificationsNomenclature="MGI_2013")
        ],
        "ConsentForClinicalTrialUseSequence": [
            item(DistributionType="NAMED_PROTOCOL", ClinicalTrialProtocolID="P", ConsentForDistributionFlag="YES")
        ],
        "ReferencedPatientPhotoSequence": [
            item(
                TypeOfInstances="DICOM",
                StudyInstanceUID="1.2.3",
                SeriesInstanceUID="1.2.4",
                ReferencedSOPSequence=Sequence([_reference()]),
                DICOMRetrievalSequence=Sequence([item(RetrieveAETitle="ARCHIVE")]),
            )
        ],
    }
    return made.get(keyword) or [code()]


def put(ds: Dataset, keyword: str, value: bytes) -> None:
    """Set bytes as they are, valid or not, under the attribute's own VR."""
    tag = Tag(keyword)
    ds.pop(tag, None)
    ds[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


def give(ds: Dataset, keyword: str) -> None:
    """Give a data set a valid value."""
    vr = dictionary_VR(tag_for_keyword(keyword))
    if vr == "SQ":
        setattr(ds, keyword, Sequence(_items(keyword)))
    else:
        setattr(ds, keyword, TERMS.get(keyword, _BY_VR[vr]))


def text_of(keyword: str) -> str:
    """The valid value of an attribute that holds text."""
    return str(TERMS.get(keyword, _BY_VR[dictionary_VR(tag_for_keyword(keyword))]))


def takes_several(keyword: str) -> bool:
    """Whether an attribute may have several values."""
    return dictionary_VM(tag_for_keyword(keyword)) != "1"


FAULTS: dict[str, dict[str, bytes]] = {  # name: by VR, what is wrong with a value of it
    "too long": {
        "LO": b"x" * 66,
        "SH": b"x" * 18,
        "CS": b"X" * 18,
        "ST": b"x" * 1026,
        "LT": b"x" * 10242,
        "PN": b"x" * 66,
        "DS": b"1.23456789012345678 ",
        "AS": b"0050Y ",
        "DA": b"202001021 ",
        "TM": b"030405.1234567 ",
    },
    "of another form": {
        "DA": b"2020.01.02",
        "TM": b"03:04:05",
        "AS": b"45",
        "DS": b"70,5",
        "CS": b"yes maybe ",
        "PN": b"a^b^c^d^e^f ",
        "LO": b"a\x07b ",
        "SH": b"a\x0cb ",
        "LT": b"a\x01b ",
        "ST": b"a\x00b ",
    },
    "of letters": {
        "DA": b"January ",
        "TM": b"noon",
        "AS": b"old ",
        "DS": b"NaN ",
        "CS": b"0000",
        "PN": b"a=b=c=d ",
        "LO": b"a\nb ",
        "SH": b"a\nb ",
        "LT": b"a\x7fb ",
        "ST": b"a\x1fb ",
    },
    "of no such day": {"DA": b"20201340", "TM": b"256199", "AS": b"045y", "DS": b"1e999 ", "CS": b"m "},
    "several for one": {
        "LO": b"a\\b ",
        "SH": b"a\\b ",
        "PN": b"a^\\b^",
        "DS": b"1\\2 ",
        "DA": b"20200102\\20200103 ",
        "AS": b"050Y\\051Y ",
        "TM": b"01\\02 ",
        "CS": b"YES\\NO",
    },
    "without its character set": {
        "LO": b"M\xfcller",
        "SH": b"M\xfcll",
        "PN": b"M\xfcller^J",
        "LT": b"M\xfcll",
        "CS": b"M\xdcLL",
    },
}


def fault(name: str, keyword: str) -> bytes | None:
    """A faulty value of that kind, or None where the attribute can have none."""
    if name == "several for one" and takes_several(keyword):
        return None
    if FAULTS[name].get(dictionary_VR(tag_for_keyword(keyword))) == b"0000" and keyword in FREETERMS:
        return None
    return FAULTS[name].get(dictionary_VR(tag_for_keyword(keyword)))


FREETERMS = ("PatientAlternativeCalendar", "ResponsiblePersonRole", "TypeOfPatientID", "StrainNomenclature")
"""Of these, any word in capitals and digits will do."""
