"""Rows, transactions and sealing: the only place that imports sqlmodel, sqlalchemy and tink."""
