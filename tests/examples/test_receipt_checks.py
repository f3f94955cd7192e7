"""The checks of receipts in other languages say of each vector what ours says."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.vectors import PATH
from tests.programs import node, program

EXAMPLES = Path(__file__).parents[2] / "examples"
VECTORS: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))["vectors"]
RESULTS = {each["name"]: each["result"] for each in VECTORS}
_NODE = """
import { readFileSync } from 'node:fs'
const { verifyReceipt, ReceiptError } = await import(process.argv[1])
const said = {}
const { vectors } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
for (const { name, approval, asked, origin, keys } of vectors) {
  try {
    said[name] = verifyReceipt(approval, asked, origin, keys).decision
  } catch (error) {
    if (!(error instanceof ReceiptError)) throw error
    said[name] = error.rule
  }
}
process.stdout.write(JSON.stringify(said))
"""
_RUBY = """
require 'json'
require ARGV[0]
said = JSON.parse(File.read(ARGV[1], encoding: 'UTF-8'))['vectors'].to_h do |each|
  [each['name'], Receipt.verify(*each.values_at('approval', 'asked', 'origin', 'keys'))[:decision]]
rescue Receipt::Error => error
  [each['name'], error.rule]
end
puts JSON.generate(said)
"""


def _said(command: list[str], **options: Any) -> Any:
    run = subprocess.run(command, capture_output=True, timeout=60, check=True, **options)
    assert run.stderr == b""
    return json.loads(run.stdout)


@pytest.mark.slow
def test_node() -> None:
    check = (EXAMPLES / "node/receipt.mjs").as_uri()
    assert _said([node(), "--input-type=module", "-e", _NODE, check, str(PATH)]) == RESULTS


@pytest.mark.slow
def test_ruby() -> None:
    check = str(EXAMPLES / "ruby/receipt.rb")
    assert _said([program("ruby"), "-w", "-e", _RUBY, check, str(PATH)]) == RESULTS


@pytest.mark.slow
def test_bash(figure: Callable[[int, int], int]) -> None:
    bash, _, _ = program("bash"), program("jq"), program("openssl")
    chosen = VECTORS[:: len(VECTORS) // figure(16, len(VECTORS))]
    assert {True, False} == {each["holds"] for each in chosen}
    for vector in chosen:
        run = subprocess.run(
            [bash, str(EXAMPLES / "curl/receipt.sh")],
            input=json.dumps({name: vector[name] for name in ("approval", "asked", "origin", "keys")}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == (0 if vector["holds"] else 1)
        assert (run.stdout.strip() or run.stderr.partition(":")[0]) == vector["result"], vector["name"]
