"""The sample data is what the design says it is, and its rows are fit for `qiong tx send`."""

import json
from pathlib import Path

from stdnum.cn import uscc
from stdnum.iso7064 import mod_37_36

from devnet import sample


def test_counts_and_check_digits() -> None:
    assert (len(sample.departments()), len(sample.enterprises())) == (6, 800)
    assert (len(sample.licences()), len(sample.attestations())) == (2000, 1000)
    codes = [entry.uscc for entry in (*sample.departments(), *sample.enterprises())]
    assert all(map(uscc.is_valid, codes))
    prefix = "1.2.156.3005.2."
    for licence in sample.licences():
        assert mod_37_36.is_valid(licence.id.removeprefix(prefix).replace(".", ""))


def test_licence_row_signs_with_the_issuing_departments_key() -> None:
    first = next(iter(sample.licence_calls()))
    assert first == {
        "contract": "licence",
        "method": "issue",
        "args": [
            "1.2.156.3005.2.11460000P3MR19AE60041.11460000P3MR19AE60.20230000000.001.J",
            "road-transport",
            "914690230QDBGYLF5L",
            "2023-08-26",
            "2027-08-26",
        ],
        "from": "transport",
    }


def test_credit_row_expires_when_its_days_are_over() -> None:
    first = next(iter(sample.credit_calls()))
    assert first["method"] == "attest"
    assert first["from"] == "housing"
    assert first["args"][-1] == "2028-08-12"  # 2025-08-13 and 1,095 days, one of them 29 February


def test_every_issuer_is_accredited_for_what_it_issues() -> None:
    roles = sample.accreditations()
    assert all(f"issuer:{row.type}" in roles[row.issuer] for row in sample.licences())
    assert all(f"issuer:credit/{row.list}" in roles[row.issuer] for row in sample.attestations())
    types = [role for names in roles.values() for role in names if "credit/" not in role]
    assert len(types) == len(set(types)) == 7


def test_written_rows_hold_no_names_of_holders(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    count = sample.write_rows([*sample.licence_calls(), *sample.credit_calls()], path)
    text = path.read_text(encoding="utf-8")
    assert count == len(text.splitlines()) == 3000
    assert all(
        set(json.loads(line)) == {"contract", "method", "args", "from"}
        for line in text.splitlines()
    )
    assert not any(licence.holder_name in text for licence in sample.licences())
