"""Key rotation: re-encrypts all encrypted fields with the newest key, row by row, while the product runs."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db import connection, models

from apps.core.crypto import EncryptedJSONField, associated_data_of, decrypt, encrypt, is_newest

_BATCH = 500


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedJSONField]]:
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, EncryptedJSONField):
                yield model, field


def rotate(model: type[models.Model], field: EncryptedJSONField) -> int:
    """Re-encrypt values that were encrypted with an older key or are not bound to their row. Returns the number of
    rows.

    A row that is written meanwhile is left as it is. Raises DecryptionError for a value that no key decrypts; rows that
    were re-encrypted before it stay so.
    """
    quote = connection.ops.quote_name
    options = model._meta
    bound_to = options.pk if field.bound_to == "pk" else options.get_field(field.bound_to)
    assert bound_to is not None
    table, column, key = quote(options.db_table), quote(str(field.column)), quote(str(options.pk.column))
    row_name = quote(str(bound_to.column))  # type: ignore[union-attr]  # a field of its own column
    done, after = 0, None
    while True:
        where = f"{column} IS NOT NULL" + ("" if after is None else f" AND {key} > %s")
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {key}, {row_name}, {column} FROM {table} WHERE {where} ORDER BY {key} LIMIT {_BATCH}",  # noqa: S608  # names
                [] if after is None else [after],
            )
            rows = [
                (pk, associated_data_of(options.db_table, str(field.column), row), bytes(value))
                for pk, row, value in cursor.fetchall()
            ]
            for pk, place, value in rows:
                if not is_newest(value, place=place):
                    statement = f"UPDATE {table} SET {column} = %s WHERE {key} = %s AND {column} = %s"  # noqa: S608  # names
                    cursor.execute(statement, [encrypt(decrypt(value, place=place), place=place), pk, value])
                    done += cursor.rowcount
        if len(rows) < _BATCH:
            return done
        after = rows[-1][0]
