"""The shop of these tests, on each store."""

from pathlib import Path

from harness.shop import Shop as Shop
from harness.shop import local as local
from harness.shop import shop as shop

HERE = Path(__file__).parent
