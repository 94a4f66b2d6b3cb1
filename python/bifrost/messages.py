# SPDX-License-Identifier: Apache-2.0
"""
Short headlines for failures, in the language of whoever reads them.

A headline says what kind of failure it is; the failure's own message, in English, says what exactly and
what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bifrost.errors import Code
from bifrost.model.language import fallbacks

LANGUAGES: Final = ("en", "de", "fr", "ja")
"""The languages there are; English where another is asked for."""


def localized(code: Code, locale: str = "") -> str:
    """Return the headline for *code* in the language of *locale*, say `de-AT`; English without one."""
    language = next((tag for tag in fallbacks(locale) if tag in LANGUAGES), "en")
    return _HEADLINES[code][language]


def _in(en: str, de: str, fr: str, ja: str) -> Mapping[str, str]:
    return {"en": en, "de": de, "fr": fr, "ja": ja}


_HEADLINES: Final[Mapping[Code, Mapping[str, str]]] = {
    Code.NOT_FOUND: _in(
        "No such asset or version",
        "Asset oder Version nicht gefunden",
        "Asset ou version introuvable",
        "アセットまたはバージョンが見つかりません",
    ),
    Code.MALFORMED_REFERENCE: _in(
        "Malformed reference",
        "Fehlerhafte Referenz",
        "Référence mal formée",
        "参照の形式が正しくありません",
    ),
    Code.FOREIGN_REFERENCE: _in(
        "Reference of another manager",
        "Referenz eines anderen Managers",
        "Référence d'un autre gestionnaire",
        "別のマネージャーの参照です",
    ),
    Code.NO_LOCATION: _in(
        "The asset has no location",
        "Das Asset hat keinen Speicherort",
        "L'asset n'a pas d'emplacement",
        "アセットに保存場所がありません",
    ),
    Code.NOT_A_FILE: _in(
        "The location is no file",
        "Der Speicherort ist keine Datei",
        "L'emplacement n'est pas un fichier",
        "保存場所がファイルではありません",
    ),
    Code.NOT_A_LAYER: _in(
        en="The asset's file is no layer that USD can open",
        de="Die Datei des Assets ist kein Layer, den USD öffnen kann",
        fr="Le fichier de l'asset n'est pas un layer que USD puisse ouvrir",
        ja="アセットのファイルは USD で開けるレイヤーではありません",
    ),
    Code.FILE_MISSING: _in(
        "The file is not there",
        "Die Datei fehlt",
        "Le fichier est absent",
        "ファイルがありません",
    ),
    Code.OUTSIDE_ROOTS: _in(
        "The location is not allowed here",
        "Der Speicherort ist hier nicht erlaubt",
        "L'emplacement n'est pas autorisé ici",
        "この保存場所は許可されていません",
    ),
    Code.STORAGE: _in(
        "Files can't be stored",
        "Dateien können nicht gespeichert werden",
        "Impossible d'enregistrer les fichiers",
        "ファイルを保存できません",
    ),
    Code.ACCESS: _in(
        "Not available for this kind of access",
        "Für diese Art des Zugriffs nicht verfügbar",
        "Indisponible pour ce type d'accès",
        "この種類のアクセスには対応していません",
    ),
    Code.PERMISSION_DENIED: _in(
        "Permission denied",
        "Zugriff verweigert",
        "Accès refusé",
        "アクセスが拒否されました",
    ),
    Code.INVALID_TRAITS: _in(
        "Traits that don't fit",
        "Unpassende Traits",
        "Traits inadaptés",
        "トレイトが適切ではありません",
    ),
    Code.PREFLIGHT_HINT: _in(
        "The manager can't use this hint for publishing",
        "Der Manager kann diesen Veröffentlichungshinweis nicht verwenden",
        "Indication de publication inutilisable",
        "公開のためのヒントが正しくありません",
    ),
    Code.CONFLICT: _in(
        "Somebody else was faster",
        "Jemand anderes war schneller",
        "Quelqu'un d'autre a été plus rapide",
        "他のユーザーが先に変更しました",
    ),
    Code.REFUSED: _in(
        "Validation found errors",
        "Die Prüfung hat Fehler gefunden",
        "La validation a trouvé des erreurs",
        "検証でエラーが見つかりました",
    ),
    Code.UNSUPPORTED: _in(
        "Not supported by this manager",
        "Von diesem Manager nicht unterstützt",
        "Non pris en charge par ce gestionnaire",
        "このマネージャーでは対応していません",
    ),
    Code.UNAVAILABLE: _in(
        "The manager can't be reached",
        "Der Manager ist nicht erreichbar",
        "Le gestionnaire est injoignable",
        "マネージャーに接続できません",
    ),
    Code.DEADLINE: _in(
        "The manager did not answer in time",
        "Der Manager hat nicht rechtzeitig geantwortet",
        "Le gestionnaire n'a pas répondu à temps",
        "マネージャーが時間内に応答しませんでした",
    ),
    Code.MISBEHAVED: _in(
        "The manager made an error",
        "Der Manager hat einen Fehler gemacht",
        "Le gestionnaire a commis une erreur",
        "マネージャーでエラーが発生しました",
    ),
    Code.CANCELLED: _in(
        "Cancelled",
        "Abgebrochen",
        "Annulé",
        "キャンセルされました",
    ),
    Code.UNKNOWN: _in(
        "Something went wrong",
        "Etwas ist schiefgegangen",
        "Une erreur est survenue",
        "問題が発生しました",
    ),
}
