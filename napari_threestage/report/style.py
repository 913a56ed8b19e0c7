"""The style sheet of a report: light and dark, on a screen and on paper."""

from __future__ import annotations

from napari_threestage.palette import LINE_COLOURS
from napari_threestage.result_figures.look import mixed

_LIGHT = """
--paper:#ffffff;--raised:#f6f7f9;--ink:#1f2328;--faint:#646c76;--line:#dfe3e8;--link:#0a66c2;
--good:#1a7f4b;--bad:#c0362c;--open:#9a6700;
"""
_DARK = """
--paper:#14171c;--raised:#1d2127;--ink:#e6e9ed;--faint:#9aa4af;--line:#333a43;--link:#6cb2ff;
--good:#4cc38a;--bad:#ff7b72;--open:#e3b341;
"""
_RULES = """
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%}
body{margin:0;font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 28px 64px}
h1{font-size:30px;line-height:1.2;margin:2px 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:21px;margin:0 0 14px;letter-spacing:-.005em}
h3{font-size:15px;margin:26px 0 8px;overflow-wrap:anywhere}
p{margin:0 0 12px;max-width:76ch}
a{color:var(--link)}
code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}
pre{background:var(--raised);border-radius:6px;padding:12px 14px;overflow-x:auto;margin:8px 0 16px}
section{border-top:1px solid var(--line);padding-top:28px;margin-top:36px}
footer{border-top:1px solid var(--line);margin-top:40px;padding-top:14px;color:var(--faint);
 font-size:13px}
.kind{color:var(--faint);margin:0;font-size:13px;letter-spacing:.02em}
.facts,.aside,.reference,.hint{color:var(--faint)}
.aside,.reference{font-size:13px}
.hint{font-size:13.5px;display:block;margin:4px 0 0;overflow-wrap:anywhere}
.verdict{border-left:4px solid var(--tone);background:var(--raised);border-radius:0 8px 8px 0;
 padding:14px 18px;margin:20px 0}
.verdict strong{color:var(--tone);font-size:16px}
.verdict p{margin:4px 0 0}
.good{--tone:var(--good)}.bad{--tone:var(--bad)}.open{--tone:var(--open)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:12px;
 margin:20px 0}
.figure{border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.figure b{display:block;font-size:24px;line-height:1.2;letter-spacing:-.01em}
.figure span{display:block;font-size:13px}
.figure small{color:var(--faint);font-size:12px}
.note{border:1px solid var(--line);border-left:4px solid var(--tone);border-radius:0 8px 8px 0;
 padding:10px 16px;margin:12px 0;font-size:14px}
.note strong{color:var(--tone)}
.note ul{margin:4px 0 0;padding-left:18px}
.note li{margin:2px 0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:24px;font-size:14px}
nav a{text-decoration:none}
nav a:hover{text-decoration:underline}
.scroll{overflow-x:auto;margin:0 0 10px}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px 5px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{color:var(--faint);font-weight:600;font-size:12.5px;vertical-align:bottom}
tbody th{font-weight:400}
tbody tr:last-child>*{border-bottom:0}
.n{text-align:right;padding-left:14px;padding-right:6px;white-space:nowrap}
.n small{color:var(--faint);font-size:11.5px;margin-left:6px}
.cell{border-left:2px solid var(--paper);min-width:64px}
.name{display:inline-flex;gap:6px;align-items:baseline;max-width:32ch;overflow-wrap:break-word}
.name span:last-child{min-width:0}
.swatch{display:inline-block;flex:none;width:11px;height:11px;border-radius:3px;vertical-align:-1px;
 box-shadow:inset 0 0 0 1px rgba(128,128,128,.5)}
.bars{width:40%;min-width:110px;padding-right:0;vertical-align:middle}
.bar{display:block;height:9px;border-radius:2px;min-width:1px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;max-width:none}
details{border:1px solid var(--line);border-radius:8px;margin:12px 0;padding:0 16px}
details[open]{padding-bottom:8px}
summary{cursor:pointer;padding:9px 0;font-size:14px;color:var(--link)}
blockquote{margin:0 0 16px;padding:16px 20px;background:var(--raised);border-radius:8px;
 max-width:88ch;overflow-wrap:anywhere}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));
 gap:12px 28px;margin:18px 0 4px}
.plot svg{max-width:100%;height:auto;display:block}
.plot svg *{stroke-linejoin:round;stroke-linecap:butt}
.plot text{font-family:inherit!important}
.example{break-inside:avoid}
.tiles{display:grid;grid-template-columns:repeat(var(--tiles),minmax(0,230px));gap:10px}
figure{margin:0;min-width:0}
figcaption{font-size:12px;color:var(--faint);margin-top:4px;line-height:1.35}
.picture{position:relative;line-height:0;border-radius:3px;overflow:hidden}
.picture,.none{
 background:repeating-linear-gradient(45deg,var(--raised) 0 4px,var(--line) 4px 8px)}
.picture img{width:100%;height:auto}
.crisp{image-rendering:pixelated}
.nothing{aspect-ratio:1;display:grid;place-items:center;color:var(--faint);font-size:12px;
 border-radius:3px;background:var(--raised)}
.frame{position:absolute;border:1px solid #000;box-shadow:inset 0 0 0 2px #fff,inset 0 0 0 3px #000}
.example .aside{margin-top:6px}
.hash{white-space:nowrap;font-size:12px}
@media screen and (max-width:860px){main{padding:24px 16px 48px}.n small{display:block;margin:0}
 .tiles{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media screen and (max-width:480px){.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}}
@page{margin:14mm}
@media print{main{max-width:none;padding:0}nav{display:none}body{font-size:12px}
 h1{font-size:24px}h2{font-size:17px}h3{font-size:13px;margin-top:16px}
 table,.note{font-size:11.5px}.hint,.aside,.reference,summary{font-size:11px}
 section{margin-top:18px;padding-top:14px}h2,h3{break-after:avoid}
 .figure,.note,.verdict,.plot,tr{break-inside:avoid}
 .plots{grid-template-columns:1fr 1fr}.tiles{gap:6px}figcaption{font-size:9.5px}
 .n small{display:block;margin:0}
 *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def _series(lighter: float) -> str:
    """Return the colours of lines and points, see `plots`."""
    colours = (mixed(colour, "#ffffff", lighter) for colour in LINE_COLOURS)
    return "".join(f"--series-{at}:{colour};" for at, colour in enumerate(colours))


STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}{_series(0)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}{_series(0.3)}}}}}"
    f"{_RULES}"
).replace("\n", "")
