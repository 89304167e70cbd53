"""An erased person's files in a bucket: also one that is away while they are erased, and while providers deliver again."""

from __future__ import annotations

import pytest

from shared import config, db
from shared.media import files
from shared.people import audit
from shared.privacy import erasure
from tests.builders import World
from tests.integration.test_bucket import Played, played
from tests.integration.test_contacts import identities
from tests.integration.test_erasure import OTHER, PHONE, PICTURE, contact_of, found_in_postgres, write

__all__ = ["played"]  # a fixture

NAME = "zwetschgen.jpg"


@pytest.fixture
def in_bucket(world: World, played: Played, monkeypatch: pytest.MonkeyPatch) -> Played:
    for name, value in {"MEDIA_BUCKET": "shop-files", "MEDIA_BUCKET_URL": played.url}.items():
        monkeypatch.setenv(name, value)
    config.reset()
    return played


def send(world: World, user: str = PHONE, source: str = "137") -> int:
    """A picture, as a provider delivers it, and delivers it again."""
    picture = {**PICTURE, "source": {"id": source}, "filename": NAME}
    message = write(world, "[image]", user, external_id=f"wamid.{user}", media=[picture])
    world.drain()
    return message


def test_what_a_bucket_kept_while_it_was_away_goes_when_it_is_back(world: World, in_bucket: Played) -> None:
    send(world)
    send(world, OTHER, "138")
    [picture, others] = db.rows("select storage_key from media order by id")
    assert len(in_bucket.objects) == 2
    in_bucket.fault = (503, "SlowDown")
    erased = erasure.erase(world.customer, contact_of(), by="test")
    assert erased is not None
    assert erased["files"] == 0
    assert [row["action"] for row in audit.entries(world.customer)] == ["contact.erased"]
    assert found_in_postgres(PHONE, NAME).keys() <= {"media", "file of media", "job", "file of job"}, "the other's name of it"
    send(world)  # the provider delivers it again while the bucket is away
    assert PHONE not in identities()
    assert f"/shop-files/{picture['storage_key']}" in in_bucket.objects
    with pytest.raises(Exception, match="bucket"):
        files.delete_unwanted()
    in_bucket.fault = None
    assert files.delete_unwanted() == 1
    send(world)  # and once more
    assert in_bucket.objects.keys() == {f"/shop-files/{others['storage_key']}"}
    assert PHONE not in identities()
    assert found_in_postgres(PHONE) == {}


def test_the_same_bytes_of_somebody_else_stay_in_the_bucket(world: World, in_bucket: Played) -> None:
    send(world)
    send(world, OTHER)
    [path] = in_bucket.objects
    assert erasure.erase(world.customer, contact_of())
    assert files.delete_unwanted() == 0
    assert list(in_bucket.objects) == [path]
    assert erasure.erase(world.customer, contact_of(OTHER))
    assert in_bucket.objects == {}
