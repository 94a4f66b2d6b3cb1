# SPDX-License-Identifier: Apache-2.0
"""The ids of the traits that our manager speaks; docs/traits.md says what each is filled from."""

from __future__ import annotations

from typing import Final

from openassetio_mediacreation.traits.auth import BearerTokenTrait_v1
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1
from openassetio_mediacreation.traits.metadata import ArbitraryMetadataTrait_v1
from openassetio_mediacreation.traits.representation import OriginalTrait_v1, ProxyTrait_v1
from openassetio_mediacreation.traits.threeDimensional import SourcePathTrait_v1, SpatialTrait_v1
from openassetio_mediacreation.traits.timeDomain import FrameRangedTrait_v1
from openassetio_mediacreation.traits.twoDimensional import ImageTrait_v1, PixelBasedTrait_v1
from openassetio_mediacreation.traits.usage import EntityTrait_v1

from bifrost.traits.generated.traits.content import FileInfoTrait_v1
from bifrost.traits.generated.traits.identity import AssetTypeTrait_v1
from bifrost.traits.generated.traits.lifecycle import (
    DeprecationTrait_v1,
    VersionInfoTrait_v1,
    WorkflowStatusTrait_v1,
)
from bifrost.traits.generated.traits.locale import ResolutionPolicyTrait_v1
from bifrost.traits.generated.traits.managementPolicy import (
    PermissionsTrait_v1,
    RelationshipManagementTrait_v1,
)
from bifrost.traits.generated.traits.metadata import MetadataKeysTrait_v1
from bifrost.traits.generated.traits.relationship import DependencyTrait_v1, EdgeTrait_v1
from bifrost.traits.generated.traits.representation import (
    PreviewTrait_v1,
    RepresentationTrait_v1,
    ThumbnailTrait_v1,
)
from bifrost.traits.generated.traits.usd import (
    PopulationMasksTrait_v1,
    SchemasTrait_v1,
    StageTrait_v1,
    VariantSetsTrait_v1,
)

# Of OpenAssetIO-MediaCreation
ENTITY: Final = EntityTrait_v1.kId
LOCATION: Final = LocatableContentTrait_v1.kId
VERSION: Final = VersionTrait_v1.kId
NAME: Final = DisplayNameTrait_v1.kId
METADATA: Final = ArbitraryMetadataTrait_v1.kId
ORIGINAL: Final = OriginalTrait_v1.kId
PROXY: Final = ProxyTrait_v1.kId
FRAMES: Final = FrameRangedTrait_v1.kId
SPATIAL: Final = SpatialTrait_v1.kId
SOURCE_PATH: Final = SourcePathTrait_v1.kId
IMAGE: Final = ImageTrait_v1.kId
PIXELS: Final = PixelBasedTrait_v1.kId
MANAGED: Final = ManagedTrait_v1.kId
TOKEN: Final = BearerTokenTrait_v1.kId

# Bifrost's
POLICY: Final = ResolutionPolicyTrait_v1.kId
ASSET_TYPE: Final = AssetTypeTrait_v1.kId
FILE_INFO: Final = FileInfoTrait_v1.kId
VERSION_INFO: Final = VersionInfoTrait_v1.kId
STATUS: Final = WorkflowStatusTrait_v1.kId
DEPRECATION: Final = DeprecationTrait_v1.kId
METADATA_KEYS: Final = MetadataKeysTrait_v1.kId
PERMISSIONS: Final = PermissionsTrait_v1.kId
REPRESENTATION: Final = RepresentationTrait_v1.kId
THUMBNAIL: Final = ThumbnailTrait_v1.kId
PREVIEW: Final = PreviewTrait_v1.kId
STAGE: Final = StageTrait_v1.kId
MASKS: Final = PopulationMasksTrait_v1.kId
VARIANT_SETS: Final = VariantSetsTrait_v1.kId
SCHEMAS: Final = SchemasTrait_v1.kId
DEPENDENCY: Final = DependencyTrait_v1.kId
EDGE: Final = EdgeTrait_v1.kId
RELATIONSHIP_MANAGEMENT: Final = RelationshipManagementTrait_v1.kId
