# SPDX-License-Identifier: Apache-2.0
"""
The windows of the menu. Import this where Qt is there and an application runs.

They stay open beside usdview and hold no stage: usdview may close it, or open another, meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.usd.usdview import waiting
from bifrost.usd.usdview.graphs import Picture
from bifrost.usd.usdview.panels import Panel
from bifrost.usd.usdview.qt import QtCore, QtGui, QtWidgets, svg_renderer
from bifrost.usd.usdview.trouble import said

_ASKING: Final = "Asking…"
# What an image of Qt's may be on a side; larger pictures are scaled to it.
_MOST_PIXELS: Final = 16_000
_SIZE: Final = (780, 420)

Row = tuple[str, ...]


class Action(NamedTuple):
    """
    A button of a window.

    Attributes:
        label: What is on it.
        run: Gets the row that is selected; () where *needs_row* is false and there is none.
        needs_row: Whether a row must be selected.
    """

    label: str
    run: Callable[[Row], None]
    needs_row: bool = True


def tell(usdview: Any, text: str) -> None:
    """Show a message over usdview's window, and in its status bar; don't wait until it is read."""
    usdview.PrintStatus(text.partition("\n")[0])
    _warning(usdview.qMainWindow, text).open()


def busy(call: Callable[[], Any]) -> Any:
    """Return what *call* returns; the cursor says meanwhile that it takes a while."""
    QtWidgets.QApplication.setOverrideCursor(QtCore.Qt.WaitCursor)
    try:
        return call()
    finally:
        QtWidgets.QApplication.restoreOverrideCursor()


def ask_file(
    owner: Any, title: str, chosen: Callable[[str], None], *, name: str = "", save: bool = False
) -> None:
    """Let people choose a file, to be read or with *save* to be written; then call *chosen* with it."""
    dialog = QtWidgets.QFileDialog(owner, title)
    dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
    if save:
        dialog.setAcceptMode(QtWidgets.QFileDialog.AcceptSave)
        dialog.selectFile(name)
    else:
        dialog.setFileMode(QtWidgets.QFileDialog.ExistingFile)
    dialog.fileSelected.connect(chosen)
    dialog.open()


class Window(QtWidgets.QDialog):  # type: ignore[misc]  # Qt comes with no types here
    """
    A window with a body, a note under it and buttons; what it shows may be asked for.

    Args:
        usdview: usdview's API.
        title: Of the window.
        actions: Its buttons, beside the one that closes it.
    """

    def __init__(self, usdview: Any, title: str, actions: Sequence[Action] = ()) -> None:
        super().__init__(usdview.qMainWindow)
        self.setWindowTitle(f"Bifrost: {title}")
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.resize(*_SIZE)
        self._body = QtWidgets.QVBoxLayout()
        self.note = QtWidgets.QLabel()
        self.note.setWordWrap(True)
        self.note.setTextFormat(QtCore.Qt.PlainText)
        self.note.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        self.buttons = {each.label: self._button(each) for each in actions}
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(self._body, 1)
        layout.addWidget(self.note)
        layout.addLayout(self._button_row())

    def ask(
        self,
        question: Callable[[], Any],
        done: Callable[[Any], None],
        *,
        limit_s: float | None = waiting.LIMIT_S,
    ) -> None:
        """Ask *question* on another thread, then call *done* with the answer; or say why there is none."""
        self._set_asking(True)
        self.note.setText(_ASKING)

        def answered(answer: Any) -> None:
            self._set_asking(False)
            self.note.setText("")
            self.guarded(lambda: done(answer))

        def failed(text: str) -> None:
            self._set_asking(False)
            self.note.setText(text)

        waiting.start(self, question, answered, failed, limit_s=limit_s)

    def guarded(self, call: Callable[[], None]) -> None:
        """Run *call*; say in the note what went wrong."""
        try:
            call()
        except Exception as error:  # noqa: BLE001  Qt would print it and go on
            self.note.setText(said(error))

    def chosen(self) -> Row:
        """Return the row that is selected; () for none. A window without rows has none."""
        return ()

    def _button(self, action: Action) -> Any:
        button = QtWidgets.QPushButton(action.label)
        button.setAutoDefault(False)
        button.clicked.connect(lambda *_: self.guarded(lambda: self._act(action)))
        return button

    def _act(self, action: Action) -> None:
        row = self.chosen()
        if action.needs_row and not row:
            self.note.setText("Select a row first.")
            return
        action.run(row)

    def _button_row(self) -> Any:
        row = QtWidgets.QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button)
        row.addStretch(1)
        close = QtWidgets.QPushButton("Close")
        close.clicked.connect(lambda *_: self.close())
        row.addWidget(close)
        return row

    def _set_asking(self, is_asking: bool) -> None:
        for button in self.buttons.values():
            button.setEnabled(not is_asking)

    def _empty(self) -> None:
        while self._body.count():
            self._body.takeAt(0).widget().deleteLater()


class TableWindow(Window):
    """A window of tables."""

    tables: tuple[Any, ...] = ()

    def show_panels(self, *panels: Panel) -> None:
        """Show *panels*, one under the other, instead of what was shown."""
        self._empty()
        self.tables = tuple(map(_table, panels))
        for panel, table in zip(panels, self.tables, strict=True):
            title = QtWidgets.QLabel(panel.title)
            title.setTextFormat(QtCore.Qt.PlainText)
            self._body.addWidget(title)
            self._body.addWidget(table, 1)
        self.note.setText("\n".join(panel.note for panel in panels if panel.note))

    def chosen(self) -> Row:
        """Return the row that is selected in the first table; () for none."""
        table = self.tables[0] if self.tables else None
        rows = table.selectionModel().selectedRows() if table else ()
        return _row(table, rows[0].row()) if rows else ()


class PictureWindow(Window):
    """A window of a picture that can be kept as a file."""

    picture: Picture | None = None

    def show_picture(self, picture: Picture) -> None:
        """Show *picture* instead of what was shown."""
        self.picture = picture
        self._empty()
        area = QtWidgets.QScrollArea()
        drawn = _drawn(picture.svg)
        label = QtWidgets.QLabel()
        if drawn is None:
            label.setText("This Qt can't draw SVG: save the picture and open it in a browser.")
        else:
            label.setPixmap(drawn)
        area.setWidget(label)
        self._body.addWidget(area, 1)
        self.note.setText(picture.note)

    def save(self) -> None:
        """Let people say where to keep the picture."""
        ask_file(self, "Save the graph", self._save_as, name="graph.svg", save=True)

    def _save_as(self, path: str) -> None:
        if self.picture is not None:
            svg = self.picture.svg
            self.guarded(lambda: _write(path, svg))


def _warning(parent: Any, text: str) -> Any:
    box = QtWidgets.QMessageBox(parent)
    box.setAttribute(QtCore.Qt.WA_DeleteOnClose)
    box.setIcon(QtWidgets.QMessageBox.Warning)
    box.setWindowTitle("Bifrost")
    box.setTextFormat(QtCore.Qt.PlainText)
    box.setText(text)
    return box


def _table(panel: Panel) -> Any:
    table = QtWidgets.QTableWidget(len(panel.rows), len(panel.columns))
    table.setHorizontalHeaderLabels(list(panel.columns))
    table.horizontalHeader().setVisible(any(panel.columns))
    table.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
    table.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
    table.verticalHeader().hide()
    table.horizontalHeader().setStretchLastSection(True)
    for place, row in enumerate(panel.rows):
        for column, text in enumerate(row):
            table.setItem(place, column, _item(text, is_current=place == panel.current))
    table.resizeColumnsToContents()
    return table


def _item(text: str, *, is_current: bool) -> Any:
    item = QtWidgets.QTableWidgetItem(text)
    item.setToolTip(text)
    if is_current:
        font = item.font()
        font.setBold(True)
        item.setFont(font)
    return item


def _row(table: Any, place: int) -> Row:
    return tuple(table.item(place, column).text() for column in range(table.columnCount()))


def _drawn(svg: str) -> Any:
    renderer_of = svg_renderer()
    renderer = renderer_of(QtCore.QByteArray(svg.encode())) if renderer_of else None
    if renderer is None or not renderer.isValid():
        return None
    size = renderer.defaultSize()
    if max(size.width(), size.height()) > _MOST_PIXELS:
        size.scale(_MOST_PIXELS, _MOST_PIXELS, QtCore.Qt.KeepAspectRatio)
    pixmap = QtGui.QPixmap(size)
    pixmap.fill(QtCore.Qt.white)
    painter = QtGui.QPainter(pixmap)
    renderer.render(painter)
    painter.end()
    return pixmap


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")
