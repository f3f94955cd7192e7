"""The vectors of docs/vectors/receipts.json, by which checks in other languages are tried, hold for ours."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from authy_grpc.client import ReceiptError, verify_receipt
from authy_grpc.v1.approval_pb2 import Approval
from authy_grpc.v1.user_pb2 import SiteKey
from scripts import vectors

TEXT = vectors.PATH.read_text(encoding="utf-8")
VECTORS: list[dict[str, Any]] = json.loads(TEXT)["vectors"]


def test_the_file_is_what_the_script_writes() -> None:
    assert vectors.document() == TEXT


def test_there_are_twenty_good_ones_and_sixty_bad_ones_each_of_its_own_name() -> None:
    assert [sum(each["holds"] is holds for each in VECTORS) for holds in (True, False)] == [20, 60]
    assert len({each["name"] for each in VECTORS}) == 80


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["name"])
def test_our_own_check_says_the_same(vector: dict[str, Any]) -> None:
    ended, asked = (ParseDict(vector[name], Approval()) for name in ("approval", "asked"))
    keys = [ParseDict(each, SiteKey()) for each in vector["keys"]]
    if vector["holds"]:
        verified = verify_receipt(ended, asked, vector["origin"], keys)
        assert verified.decision.value == vector["result"]
        return
    with pytest.raises(ReceiptError) as refusal:
        verify_receipt(ended, asked, vector["origin"], keys)
    assert str(refusal.value).partition(":")[0] == vector["result"]
