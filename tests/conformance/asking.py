# SPDX-License-Identifier: Apache-2.0
"""Asking our manager as an OpenAssetIO host does."""

from __future__ import annotations

from openassetio import EntityReference, hostApi, log, managerApi
from openassetio.access import RelationsAccess, ResolveAccess
from openassetio.trait import TraitsData
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1

from bifrost.manager import BifrostManagerInterface
from bifrost.traits.generated.traits.locale import ResolutionPolicyTrait_v1

VERSION = VersionTrait_v1.kId


class Host(hostApi.HostInterface):
    """The least host there is."""

    def identifier(self):
        return "org.bifrost.tests.host"

    def displayName(self):  # noqa: N802 - OpenAssetIO's name
        return "Tests"


def host_session():
    logger = log.SeverityFilter(log.ConsoleLogger())
    logger.setSeverity(logger.Severity.kWarning)
    return managerApi.HostSession(managerApi.Host(Host()), logger)


def manager_over(url, interface=None, **settings):
    manager = hostApi.Manager(interface or BifrostManagerInterface(), host_session())
    manager.initialize({"catalogue_url": url, **settings})
    return manager


def ref(text):
    return EntityReference(text if "://" in text else f"bifrost:///assets/{text}")


def under(manager, **policy):
    """Return a context whose locale says *policy*."""
    context = manager.createContext()
    context.locale = TraitsData({ResolutionPolicyTrait_v1.kId})
    for key, value in policy.items():
        context.locale.setTraitProperty(ResolutionPolicyTrait_v1.kId, key, value)
    return context


def resolved(manager, references, traits=frozenset({VERSION}), context=None):
    """Return data or (code, message) for each reference."""
    results = [None] * len(references)
    manager.resolve(
        [ref(text) for text in references],
        set(traits),
        ResolveAccess.kRead,
        context or manager.createContext(),
        results.__setitem__,
        lambda index, error: results.__setitem__(index, (error.code, error.message)),
    )
    return results


def tags(results):
    return [data.getTraitProperty(VERSION, "stableTag") for data in results]


def related(
    manager,
    reference,
    relationship,
    *,
    page_size=10,
    context=None,
    result_traits=(),
    access=RelationsAccess.kRead,
):
    [pager] = manager.getWithRelationship(
        [ref(reference)],
        relationship,
        page_size,
        access,
        context or manager.createContext(),
        set(result_traits),
    )
    found = []
    while page := pager.get():
        assert len(page) <= page_size
        found += [str(one).removeprefix("bifrost:///assets/") for one in page]
        pager.next()
    return found
