"""Owns the hot path's statements: what a batch of codes reads and writes, each in one statement, no ORM objects.

A link is locked before all else is read: what another server has just used up is seen then.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, String, and_, delete, select, update
from sqlmodel import Session, SQLModel

from authy_grpc.domain.ids import new_id
from authy_grpc.domain.keys import totp_secret
from authy_grpc.domain.limits import Guesses
from authy_grpc.domain.totp import Seed
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Codes, SentCode
from authy_grpc.store.account import ACTIVITY
from authy_grpc.store.columns import to_millis
from authy_grpc.store.given import Given
from authy_grpc.store.link import CUSTOM_USER_ID, DEVICE_SECRET
from authy_grpc.store.vault import Vault
