"""Lints certificates with pkilint, as its lint_pkix_cert does, but many of them in one go.

Takes the folders that hold them (PEM, one a file) and prints one JSON object: how many there were, and every finding of
severity warning or above, by the name of the file.
"""

import json
import multiprocessing
import pathlib
import sys

from pkilint import loader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity


def validators():
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


VALIDATORS = validators()


def lint(path):
    document = loader.load_pem_certificate(path.read_text(encoding="ascii"), path.name)
    return [
        f"{path.name}: {described.finding.severity.name} {described.finding.code}"
        for result in VALIDATORS.validate(document.root)
        for described in result.finding_descriptions
        if described.finding.severity <= ValidationFindingSeverity.WARNING
    ]


if __name__ == "__main__":
    paths = sorted(path for folder in sys.argv[1:] for path in pathlib.Path(folder).glob("*.pem"))
    with multiprocessing.Pool() as pool:
        findings = [finding for found in pool.imap(lint, paths, chunksize=32) for finding in found]
    print(json.dumps({"certificates": len(paths), "findings": findings}))
