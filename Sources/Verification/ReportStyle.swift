/// The page's style: system fonts, two color schemes, nothing that is fetched.
let reportStyle: HTML = """
  :root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1d1f23; --soft: #62666e;
    --rule: #e3e1dc; --good: #1f7a4d; --bad: #b3261e; --good-soft: #e4f3ea; --bad-soft: #fbe6e3; --fair: #8a5a00; --fair-soft: #faf0d7;
    --c0: #3457d5; --c1: #8a8f98; --c2: #c77700; --c3: #7a4fb5; --c4: #00817c; }
  @media (prefers-color-scheme: dark) { :root { --paper: #15171a; --card: #1d2024; --ink: #e9e8e4; --soft: #9ba0a8;
    --rule: #31353b; --good: #6fcf97; --bad: #ff8a80; --good-soft: #173226; --bad-soft: #3b1d1b; --fair: #f0c36a; --fair-soft: #382c12;
    --c0: #8aa4ff; --c1: #8a8f98; --c2: #f0a63c; --c3: #c3a0f0; --c4: #53c7c1; } }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 80px; }
  h1 { font-size: 27px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em; overflow-wrap: anywhere; }
  h2 { font-size: 19px; margin: 46px 0 12px; letter-spacing: -.005em; }
  h3 { font-size: 15px; margin: 22px 0 8px; }
  p { margin: 0 0 10px; max-width: 76ch; } .note { color: var(--soft); font-size: 13.5px; }
  .verdict { display: inline-block; padding: 3px 12px; border-radius: 999px; font-weight: 600; font-size: 14px; margin: 10px 0 4px; }
  .first { font-size: 16px; } .first .verdict { font-size: 17px; margin-right: 6px; }
  .indistinguishable, .close { background: var(--good-soft); color: var(--good); } .different, .retrained { background: var(--fair-soft); color: var(--fair); } .broken { background: var(--bad-soft); color: var(--bad); }
  .met { background: var(--good-soft); color: var(--good); } .unmet { background: var(--bad-soft); color: var(--bad); }
  .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 6px; }
  .tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 16px; }
  .tile b { display: block; font-size: 20px; font-weight: 620; letter-spacing: -.01em; white-space: nowrap; }
  .tile span { color: var(--soft); font-size: 13px; }
  .scroll { overflow-x: auto; margin: 0 0 10px; }
  table { border-collapse: collapse; width: 100%; font-size: 13.5px; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; border-spacing: 0; }
  th, td { padding: 6px 12px; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
  tr:last-child > td, tr:last-child > th { border-bottom: 0; } th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; }
  code, td.name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12.5px; overflow-wrap: anywhere; }
  td.name { min-width: 190px; } tr.main td { font-weight: 600; } td .verdict { margin: 0; font-size: 12.5px; padding: 1px 10px; }
  .swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 7px; background: currentColor; }
  .s0 { color: var(--c0); } .s1 { color: var(--c1); } .s2 { color: var(--c2); } .s3 { color: var(--c3); } .s4 { color: var(--c4); }
  .shots { display: flex; gap: 12px; overflow-x: auto; padding-bottom: 8px; }
  .shot { flex: 0 0 auto; width: 200px; margin: 0; } .shot img { width: 200px; height: auto; display: block; border-radius: 8px; border: 1px solid var(--rule); background: #000; }
  .shot img.small { image-rendering: pixelated; } .shot figcaption { font-weight: 400; font-size: 12.5px; color: var(--soft); margin-top: 5px; line-height: 1.4; } .shot figcaption b { color: var(--ink); }
  .pair { border-top: 1px solid var(--rule); padding: 14px 0 8px; } .pair p { margin-bottom: 8px; }
  .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; }
  figure { margin: 0; } .charts figure { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px 8px; } figcaption { font-weight: 600; font-size: 13.5px; }
  svg { width: 100%; height: auto; display: block; } .grid { stroke: var(--rule); } .tick { fill: var(--soft); font: 14px system-ui, sans-serif; }
  .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; } .band { fill: currentColor; opacity: .13; } .dot { fill: currentColor; }
  .legend { margin: 4px 0 6px; font-size: 13px; } .key { margin-right: 18px; overflow-wrap: anywhere; }
  .bars td { padding: 3px 12px; border: 0; vertical-align: middle; } td.term { white-space: nowrap; } .bars td.bar { width: 60%; padding-bottom: 6px; } .bars td.n { vertical-align: top; } .bar div { height: 5px; border-radius: 3px; background: currentColor; margin: 2px 0; }
  details { margin: 10px 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; } details > summary { cursor: pointer; padding: 10px 16px; font-weight: 600; font-size: 14px; }
  details table { border: 0; border-top: 1px solid var(--rule); border-radius: 0; } details > .note { padding: 0 16px; } details .tree { padding: 0 16px 12px; overflow-x: auto; }
  th.n { overflow-wrap: anywhere; min-width: 76px; } .figures td.n { font-weight: 500; } .figures b { font-weight: 600; } .figures .figure td { border-bottom: 0; padding-bottom: 0; } .figures td.note { padding-top: 0; } pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 10px 14px; font-size: 12.5px; white-space: pre-wrap; overflow-wrap: anywhere; }
  .tree table { border: 1px solid var(--rule); margin: 4px 0; } .tree td, .tree th { padding: 3px 10px; vertical-align: top; }
  footer { margin-top: 56px; color: var(--soft); font-size: 13px; border-top: 1px solid var(--rule); padding-top: 14px; }
  @media (max-width: 640px) { main { padding: 22px 14px 60px; } h1 { font-size: 21px; } h2 { margin-top: 34px; } th, td { padding: 5px 7px; } .bars td { padding: 3px 7px; }
    table { font-size: 12.5px; } .note { font-size: 12.5px; } .charts figure { padding: 10px 8px 4px; } .shot, .shot img { width: 44vw; } .tile { padding: 9px 12px; } .tile b { font-size: 18px; } }
  @media print { main { max-width: none; padding: 0; } .shots { flex-wrap: wrap; } }
  """
