# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802, N803, N816, PLR0917 - OpenAssetIO names the methods and their arguments
"""
An OpenAssetIO manager of one's own, as small as it gets: entities are the rows of a table.

`studio:///chair` is the newest version of the chair, `studio:///chair?version=1` the first. A real one asks a
database here, in `resolve`, once for the whole batch. OPENASSETIO_PLUGIN_PATH names this folder.
"""

import csv
from pathlib import Path

from openassetio import constants
from openassetio.errors import BatchElementError
from openassetio.managerApi import ManagerInterface
from openassetio.pluginSystem import PythonPluginSystemManagerPlugin
from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1 as DisplayName
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1 as Version
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1 as Managed
from openassetio_mediacreation.traits.usage import EntityTrait_v1 as Entity

PREFIX = "studio:///"
IDENTIFIER = "com.example.studio"
TRAITS = {Entity.kId, LocatableContent.kId, Version.kId, DisplayName.kId}


class StudioManager(ManagerInterface):
    """Answers from a table of name, version and file."""

    def identifier(self):
        return IDENTIFIER

    def displayName(self):
        return "Studio"

    def info(self):
        # OpenAssetIO then tells our references from others itself, without calling Python.
        return {constants.kInfoKey_EntityReferencesMatchPrefix: PREFIX}

    def hasCapability(self, capability):
        return capability in {
            self.Capability.kEntityReferenceIdentification,
            self.Capability.kManagementPolicyQueries,
            self.Capability.kEntityTraitIntrospection,
            self.Capability.kExistenceQueries,
            self.Capability.kResolution,
        }

    def initialize(self, managerSettings, hostSession):
        table = Path(managerSettings["table"])
        with table.open(newline="", encoding="utf-8") as rows:
            self.versions = {}
            for row in csv.DictReader(rows):
                file = (table.parent / row["file"]).resolve()
                self.versions.setdefault(row["name"], {})[row["version"]] = file

    def managementPolicy(self, traitSets, access, context, hostSession):
        return [TraitsData({Managed.kId}) for _ in traitSets]

    def isEntityReferenceString(self, someString, hostSession):
        return someString.startswith(PREFIX)

    def entityExists(self, references, context, hostSession, success, error):
        for index, reference in enumerate(references):
            success(index, self.find(reference) is not None)

    def entityTraits(self, references, access, context, hostSession, success, error):
        self.answer(references, lambda _: TRAITS, success, error)

    def resolve(self, references, traitSet, access, context, hostSession, success, error):
        self.answer(references, self.described, success, error)

    def answer(self, references, answer, success, error):
        """One call for each reference, with what is known of it or why it isn't."""
        for index, reference in enumerate(references):
            found = self.find(reference)
            if found is None:
                message = f"the table has no {reference.toString()}"
                code = BatchElementError.ErrorCode.kEntityResolutionError
                error(index, BatchElementError(code, message))
            else:
                success(index, answer(found))

    def find(self, reference):
        """Return name, version and file of *reference*, or None."""
        name, _, version = reference.toString().removeprefix(PREFIX).partition("?version=")
        versions = self.versions.get(name, {})
        version = version or max(versions, key=int, default="")
        return (name, version, versions[version]) if version in versions else None

    def described(self, found):
        """Return what OpenAssetIO is to know of a row."""
        name, version, file = found
        data = TraitsData()
        LocatableContent(data).setLocation(FileUrlPathConverter().pathToUrl(str(file)))
        Version(data).setStableTag(version)
        DisplayName(data).setName(name.title())
        return data


class StudioPlugin(PythonPluginSystemManagerPlugin):
    """Where OpenAssetIO finds it."""

    @classmethod
    def identifier(cls):
        return IDENTIFIER

    @classmethod
    def interface(cls):
        return StudioManager()


openassetioPlugin = StudioPlugin
