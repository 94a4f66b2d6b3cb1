# SPDX-License-Identifier: Apache-2.0
"""
An application that knows neither USD nor Bifrost, with a Read and a Write node, through plain OpenAssetIO.

    python examples/nuke_like_host.py

writes a plate, reads it through its reference, writes a graded version of it, and lists the versions. Nothing
is imported from Bifrost: it is found as the OpenAssetIO manager `org.bifrost.assetmanager`.
"""

import tempfile
from pathlib import Path

from openassetio.access import PolicyAccess, PublishingAccess, RelationsAccess, ResolveAccess
from openassetio.hostApi import HostInterface, ManagerFactory
from openassetio.log import ConsoleLogger, SeverityFilter
from openassetio.pluginSystem import PythonPluginSystemManagerImplementationFactory
from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.specifications.lifecycle import (
    StableEntityVersionsRelationshipSpecification_v1 as StableVersions,
)
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1 as DisplayName
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1 as Version
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1 as Managed

PLATE = "bifrost:///assets/plate"


class CompositorHost(HostInterface):
    """Who we are to a manager."""

    def identifier(self):
        return "com.example.compositor"

    def displayName(self):  # noqa: N802 - OpenAssetIO's name
        return "Compositor"


def connect(settings):
    """Return the manager, made once when the application starts."""
    logger = SeverityFilter(ConsoleLogger())
    logger.setSeverity(SeverityFilter.Severity.kError)
    manager = ManagerFactory.createManagerForInterface(
        "org.bifrost.assetmanager",
        CompositorHost(),
        PythonPluginSystemManagerImplementationFactory(logger),
        logger,
    )
    manager.initialize(settings)
    return manager


class Compositor:
    """Two nodes. What a user types is a path or a reference; only references go to the manager."""

    def __init__(self, manager):
        self.manager = manager
        self.context = manager.createContext()  # one for the session: what belongs together
        self.urls = FileUrlPathConverter()

    def read(self, typed):
        """The Read node: the picture's numbers."""
        path = typed
        if (reference := self.manager.createEntityReferenceIfValid(typed)) is not None:
            entity = self.manager.resolve(
                reference, {LocatableContent.kId}, ResolveAccess.kRead, self.context
            )
            path = self.urls.pathFromUrl(LocatableContent(entity).getLocation())
        return [int(number) for number in Path(path).read_text().split()[4:]]

    def write(self, typed, numbers):
        """The Write node: publish a picture; return the reference to this version of it."""
        picture = TraitsData({LocatableContent.kId, DisplayName.kId})
        LocatableContent(picture).setMimeType("image/x-portable-pixmap")
        DisplayName(picture).setName("Plate")
        [policy] = self.manager.managementPolicy(
            [picture.traitSet()], PolicyAccess.kWrite, self.context
        )
        if not Managed.isImbuedTo(policy):
            raise RuntimeError("the manager takes no pictures; save to a path")

        # Where to write to is the manager's to say: a folder of its own, until it is registered.
        reference = self.manager.createEntityReference(typed)
        access = PublishingAccess.kWrite
        working = self.manager.preflight(reference, picture, access, self.context)
        where = self.manager.resolve(
            working, {LocatableContent.kId}, ResolveAccess.kManagerDriven, self.context
        )
        location = LocatableContent(where).getLocation()
        Path(self.urls.pathFromUrl(location)).write_text(
            f"P3 {len(numbers) // 3} 1 255 {' '.join(map(str, numbers))}\n"
        )

        LocatableContent(picture).setLocation(location)
        return self.manager.register(working, picture, access, self.context).toString()

    def versions(self, typed):
        """What the node's menu of versions lists, newest first."""
        pager = self.manager.getWithRelationship(
            self.manager.createEntityReference(typed),
            StableVersions.create().traitsData(),
            100,
            RelationsAccess.kRead,
            self.context,
            set(),  # whatever traits they have
        )
        entities = self.manager.resolve(
            pager.get(), {Version.kId}, ResolveAccess.kRead, self.context
        )
        return [Version(entity).getStableTag() for entity in entities]


def main(folder):
    """Work on a plate as an artist would."""
    catalogue = f"sqlite:///{folder / 'catalogue.sqlite'}"
    compositor = Compositor(connect({"catalogue_url": catalogue, "store": str(folder / "store")}))

    print("wrote", compositor.write(PLATE, [200, 40, 90]))
    print("read ", compositor.read(PLATE))

    graded = [255 - number for number in compositor.read(PLATE)]
    print("wrote", compositor.write(PLATE, graded))

    print("read ", compositor.read(PLATE))
    print("read ", compositor.read(f"{PLATE}?version=1"), "which stays as it was")
    print("versions", ", ".join(compositor.versions(PLATE)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        main(Path(home))
