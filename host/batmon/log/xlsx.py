"""Tables as .xlsx: spreadsheets of any language open it with times as times."""

import zipfile
from pathlib import Path

from batmon.console import UserError
from batmon.log import tables

_MOST_ROWS = 1_048_575  # of a sheet, beside the head
_DAY_S = 86400
_DAYS_TO_1970 = 25569  # from the day that spreadsheets call 0, 1899-12-30
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET = "xl/worksheets/sheet1.xml"
# All that a workbook of one sheet needs; format 1 is that of times.
_PARTS = {
    "[Content_Types].xml": f"""<Types xmlns="{_PACKAGE}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>
<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>
<Override PartName="/{_SHEET}" ContentType="{_TYPE}.worksheet+xml"/></Types>""",
    "_rels/.rels": f"""<Relationships xmlns="{_PACKAGE}/relationships">
<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": f"""<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">
<sheets><sheet name="batmon" sheetId="1" r:id="r1"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": f"""<Relationships xmlns="{_PACKAGE}/relationships">
<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>
<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>""",
    "xl/styles.xml": f"""<styleSheet xmlns="{_MAIN}">
<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>
<fonts count="1"><font/></fonts>
<fills count="1"><fill><patternFill patternType="none"/></fill></fills>
<borders count="1"><border/></borders>
<cellStyleXfs count="1"><xf/></cellStyleXfs>
<cellXfs count="2"><xf/><xf numFmtId="164" applyNumberFormat="1"/></cellXfs></styleSheet>""",
}


def write(batches, out: Path) -> int:
    """Write tables, whose times are local ones, as one sheet; return its rows."""
    rows = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in _PARTS.items():
            book.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>\n' + text)
        with book.open(_SHEET, "w", force_zip64=True) as sheet:
            for batch in batches:
                if not rows:
                    sheet.write(_head(batch).encode())
                rows += len(batch)
                if rows > _MOST_ROWS:
                    raise UserError(
                        f"a spreadsheet has no room for more than {_MOST_ROWS} rows; name fewer "
                        "shards, or take --every 1min."
                    )
                cells = [_cells(batch[name]) for name in batch]
                for row in zip(*cells, strict=True):
                    sheet.write(f"<row>{''.join(row)}</row>\n".encode())
            sheet.write(b"</sheetData></worksheet>")
    return rows


def _head(batch) -> str:
    names = "".join(map(_text, batch))
    # times need more than the usual width: where it is less, #### is shown
    cols = f'<cols><col min="1" max="{len(batch.columns)}" width="19" customWidth="1"/></cols>'
    return f'<worksheet xmlns="{_MAIN}">{cols}<sheetData>\n<row>{names}</row>\n'


def _text(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{text}</t></is></c>'  # names have no character XML minds


def _cells(column) -> list[str]:
    """Return the cells of a column; what is unknown is an empty one."""
    import numpy as np
    import pandas as pd

    missing = column.isna().to_numpy()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local = pd.DatetimeIndex(column).tz_localize(None).as_unit("s").asi8
        made = [f'<c s="1"><v>{t / _DAY_S + _DAYS_TO_1970!r}</v></c>' for t in local.tolist()]
    elif column.dtype == bool:
        made = [f'<c t="b"><v>{x:d}</v></c>' for x in column.tolist()]
    elif isinstance(column.dtype, pd.CategoricalDtype):
        made = [_text(x) for x in column.tolist()]
    else:
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        if column.dtype == np.float64:
            numbers = tables.rounded(numbers)
        made = [f"<c><v>{x:.15g}</v></c>" for x in numbers.tolist()]
    return ["<c/>" if gone else cell for gone, cell in zip(missing, made, strict=True)]
