#pragma once

namespace locmoe::inline v0::detail::page {

/// Light by default, dark where the reader's system is. Text on its ground has a contrast of 4.5 at
/// least; h0 to h7 are the steps of heat, t0 to t7 the text on them.
inline constexpr const char* style = R"css(
:root{color-scheme:light dark;--page:#fff;--card:#f5f6f8;--text:#1b2026;--soft:#555e68;
--rule:#d9dde2;--node:#8a939d;--outside:#8f3a10;--outside2:#b35c2c;--inside:#174c86;
--inside2:#3b76b3;--place:#8a939d;--mean:#1b2026;--most:#b3261e;--bar:#4a86c5;--h0:#e3eefa;
--h1:#c3dcf2;--h2:#9cc5e8;--h3:#74aedd;--h4:#4d92cc;--h5:#2469ab;--h6:#12498a;--h7:#072c61;
--t0:#0b1a2b;--t1:#0b1a2b;--t2:#0b1a2b;--t3:#0b1a2b;--t4:#0b1a2b;--t5:#fff;--t6:#fff;--t7:#fff}
@media (prefers-color-scheme:dark){:root{--page:#12151a;--card:#1c2128;--text:#e7eaee;
--soft:#a3adb8;--rule:#343b44;--node:#6c7681;--outside:#f0925a;--outside2:#c26a35;
--inside:#74b3f2;--inside2:#4684c2;--place:#98a2ad;--mean:#e7eaee;--most:#ff8a80;--bar:#4f8fcf;
--h0:#152b45;--h1:#1b406a;--h2:#22568e;--h3:#2d6fb0;--h4:#4f96d6;--h5:#7fb6ea;--h6:#b0d3f6;
--h7:#e6f2ff;--t0:#fff;--t1:#fff;--t2:#fff;--t3:#fff;--t4:#08131f;--t5:#08131f;--t6:#08131f;
--t7:#08131f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,"Helvetica Neue",Arial,sans-serif}
main{max-width:1040px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:26px;line-height:1.25;margin:0 0 8px}
h2{font-size:20px;margin:36px 0 8px;padding-top:14px;border-top:1px solid var(--rule)}
h3{font-size:16px;margin:22px 0 6px}
p{margin:6px 0 10px;max-width:84ch}
.lead{font-size:17px}
.soft{color:var(--soft)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:10px;margin:16px 0}
.tile{background:var(--card);border-radius:8px;padding:10px 12px}
dt{color:var(--soft);font-size:13px}
dd{margin:0}
dd b{font-size:20px;display:block}
dd span{color:var(--soft);font-size:13px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}
caption{text-align:left;color:var(--soft);padding:2px 0 6px}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--rule);
white-space:nowrap}
th{font-weight:600}
th.name,td.name{text-align:left}
td.why{text-align:left;white-space:normal}
thead th{color:var(--soft);font-weight:400}
.bar{display:inline-block;height:10px;min-width:2px;background:var(--bar);border-radius:2px}
.scroll{overflow-x:auto;margin:8px 0}
svg{display:block}
svg text{font:12px system-ui,"Helvetica Neue",Arial,sans-serif;fill:var(--soft)}
svg text.strong{fill:var(--text)}
svg text.end{text-anchor:end}
svg text.middle{text-anchor:middle}
svg text.small{font-size:10px;text-anchor:end;fill:var(--page)}
.cells{shape-rendering:crispEdges;fill:none}
.zero{fill:var(--card)}
.frame{fill:none;stroke:var(--node)}
.rule{fill:none;stroke:var(--rule)}
.border{fill:none;stroke:var(--node);stroke-opacity:.75;shape-rendering:crispEdges}
.s0{stroke:var(--h0)}.s1{stroke:var(--h1)}.s2{stroke:var(--h2)}.s3{stroke:var(--h3)}
.s4{stroke:var(--h4)}.s5{stroke:var(--h5)}.s6{stroke:var(--h6)}.s7{stroke:var(--h7)}
.f0{fill:var(--h0)}.f1{fill:var(--h1)}.f2{fill:var(--h2)}.f3{fill:var(--h3)}
.f4{fill:var(--h4)}.f5{fill:var(--h5)}.f6{fill:var(--h6)}.f7{fill:var(--h7)}
svg text.v0{fill:var(--t0)}svg text.v1{fill:var(--t1)}
svg text.v2{fill:var(--t2)}svg text.v3{fill:var(--t3)}
svg text.v4{fill:var(--t4)}svg text.v5{fill:var(--t5)}
svg text.v6{fill:var(--t6)}svg text.v7{fill:var(--t7)}
.v{text-anchor:middle}
.outside{fill:var(--outside)}.outside2{fill:var(--outside2)}
.inside{fill:var(--inside)}.inside2{fill:var(--inside2)}
.outside,.outside2,.inside,.inside2{stroke:var(--page);stroke-width:.7}
.place{fill:var(--place)}
.column{fill:var(--bar)}
.mean{stroke:var(--mean);stroke-dasharray:6 4}
.most{stroke:var(--most)}
.picture{display:block;width:100%;max-width:820px;margin:8px 0}
@media (prefers-color-scheme:dark){.picture{filter:invert(.93) hue-rotate(180deg)}}
details{margin:8px 0}
summary{cursor:pointer}
@media print{.scroll{overflow:visible}}
)css";

}  // namespace locmoe::detail::page
