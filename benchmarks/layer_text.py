# SPDX-License-Identifier: Apache-2.0
"""What the generated shot's layers say, as .usda text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

_RESOURCES = {
    "vdb": ("OpenVDBAsset", "asset filePath"),
    "ies": ("SphereLight", "asset inputs:shaping:ies:file"),
    "exr": ("DomeLight", "asset inputs:texture:file"),
    "wav": ("SpatialAudio", "uniform asset filePath"),
}


def document(metadata: Iterable[str], body: str) -> str:
    """Return a whole layer."""
    lines = "".join(f"    {line}\n" for line in metadata)
    return f"#usda 1.0\n(\n{lines})\n\n{body}"


def prim(kind: str, name: str, body: str, *metadata: str) -> str:
    """Return a prim, *kind* its specifier and type."""
    lines = "".join(f"    {line}\n" for line in metadata)
    return f'{kind} "{name}" (\n{lines})\n{{\n{body}}}\n'


def placed(name: str, translate: str, *metadata: str) -> str:
    """Return an Xform that stands somewhere."""
    body = (
        f"double3 xformOp:translate = {translate}\n"
        'uniform token[] xformOpOrder = ["xformOp:translate"]\n'
    )
    return prim("def Xform", name, body, *metadata)


def sublayers(paths: Sequence[str]) -> str:
    """Return the layer metadata for *paths*, strongest first."""
    return f"subLayers = [{', '.join(f'@{path}@' for path in paths)}]"


def moved(name: str, samples: str) -> str:
    """Return an over that animates a prim."""
    return prim("over", name, f"double3 xformOp:translate.timeSamples = {{{samples}}}\n")


def resource(name: str, path: str) -> str:
    """Return a prim that uses a resource: a volume, a light, a sound."""
    kind, attribute = _RESOURCES[path.rpartition(".")[2]]
    return prim(f"def {kind}", name, f"{attribute} = @{path}@\n")


def interface(name: str, payload: str) -> str:
    """Return an asset's interface layer."""
    published = "".join(f'string studio:{key} = "{value}"\n' for key, value in _published(name))
    return prim("class", f"_class_{name}", "") + prim(
        "def Xform",
        name,
        f"float3[] extentsHint = [(-1, -1, -1), (1, 1, 1)]\n{published}",
        f'assetInfo = {{ string name = "{name}" }}',
        f"inherits = </_class_{name}>",
        'kind = "component"',
        f"payload = @{payload}@",
    )


def _published(name: str) -> Iterator[tuple[str, str]]:
    """Yield what pipelines write on every asset, and nobody reads at open."""
    yield from (("department", "assets"), ("status", "approved"), ("tracking", f"asset/{name}"))
    for step in ("model", "rig", "groom", "surface", "lookdev"):
        yield f"{step}:author", "a.person@studio.example"
        yield f"{step}:task", f"{name}/{step}/main"
        yield f"{step}:comment", f"Approved in review; {step} of {name} follows the new guide"


def payload(name: str, geometry: str, looks: Sequence[tuple[str, str]]) -> str:
    """Return an asset's payload: its geometry, and a variant for each (look, its layer)."""
    variants = "".join(f'"{look}" (\nreferences = @{path}@\n) {{\n}}\n' for look, path in looks)
    return prim(
        "def Xform",
        name,
        f'{_PURPOSES}variantSet "shading" = {{\n{variants}}}\n',
        f"references = @{geometry}@",
        f'variants = {{ string shading = "{looks[0][0]}" }}',
        'prepend variantSets = "shading"',
    )


def look(name: str, look: str, library: str, maps: Sequence[str]) -> str:
    """Return a look: a material with *maps*, and the material library beside it."""
    material = f"/{name}/mtl/{look}"
    shaders = "".join(_texture(f"map_{index:02}", path) for index, path in enumerate(maps))
    return f"""
over "{name}"
{{
    def Scope "mtl"
    {{
        def Material "{look}"
        {{
            token outputs:surface.connect = <{material}/surface.outputs:surface>
            {_SURFACE}
            {shaders}
        }}
        def Scope "library" (
            references = @{library}@
        )
        {{
        }}
    }}
    over "geom" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        rel material:binding = <{material}>
    }}
}}
"""


def library(texture: str) -> str:
    """Return a material library."""
    return f"""
def Scope "library"
{{
    def Material "base"
    {{
        token outputs:surface.connect = </library/base/surface.outputs:surface>
        {_SURFACE}
        {_texture("detail", texture)}
    }}
}}
"""


def geometry(name: str) -> str:
    """Return an asset's geometry; the arrays of `geom/mesh` are to be filled."""
    return f"""
def Xform "{name}"
{{
    def Xform "geom"
    {{
        def Mesh "mesh"
        {{
            float3[] extent
            int[] faceVertexCounts
            int[] faceVertexIndices
            point3f[] points
            uniform token subdivisionScheme = "none"
        }}
        def Mesh "proxy"
        {{
            uniform token purpose = "proxy"
            int[] faceVertexCounts = [4]
            int[] faceVertexIndices = [0, 1, 2, 3]
            point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)]
        }}
    }}
}}
"""


def _texture(name: str, path: str) -> str:
    return f"""
            def Shader "{name}"
            {{
                uniform token info:id = "UsdUVTexture"
                asset inputs:file = @{path}@
                float4 inputs:scale = (1, 1, 1, 1)
                token inputs:wrapS = "repeat"
                token inputs:wrapT = "repeat"
                float3 outputs:rgb
            }}
"""


_SURFACE = """
            def Shader "surface"
            {
                uniform token info:id = "UsdPreviewSurface"
                color3f inputs:diffuseColor = (0.18, 0.18, 0.18)
                float inputs:roughness = 0.4
                token outputs:surface
            }
"""
_PURPOSES = """
over "geom"
{
    over "mesh"
    {
        uniform token purpose = "render"
        color3f[] primvars:displayColor = [(0.18, 0.18, 0.18)]
        float[] primvars:displayOpacity = [1]
        int primvars:arnold:subdiv_iterations = 2
        string primvars:arnold:subdiv_type = "catclark"
        bool primvars:ri:attributes:visibility:camera = 1
        bool primvars:ri:attributes:visibility:transmission = 1
    }
    over "proxy"
    {
        color3f[] primvars:displayColor = [(0.5, 0.5, 0.5)]
    }
}
"""
