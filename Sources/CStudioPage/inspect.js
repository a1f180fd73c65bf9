// What a model is: its blocks, what was stripped, and how its layers are stored.

async function showModel(name) {
  const output = byId("inspect-output");
  let model;
  try {
    model = await callJSON("GET", "/api/models/" + encodeURIComponent(name));
  } catch (error) {
    output.replaceChildren(make("p", { class: "trouble", role: "alert" }, error.message));
    return;
  }
  const { facts, description } = model;
  const unet = description.components.find((part) => part.name === "unet");
  const steps = description.provenance?.steps || [];
  output.replaceChildren(
    factList(facts, description),
    ...(description.changes || []).map((change) => make("p", { class: "note" }, change.text || change.kind || "")),
    make("h2", {}, "Components"), componentTable(description.components),
    ...(unet ? [make("h2", {}, "U-Net"), unetDrawing(unet, strippedBlocks(steps), ledgerOf(steps))] : []),
    ...verificationParts(description.verification), ...originParts(description.provenance));
}

function factList(facts, description) {
  const items = [
    ["Family", facts.family_title], ["Layout", description.layout], ["File", bytesText(facts.file_bytes)],
    ["U-Net parameters", countText(facts.unet_parameters)], ["Image size", facts.width + "×" + facts.height],
    ["Predicts", description.prediction_type], ["Scheduler", (description.scheduler || "none").replace(/Scheduler$/, "")],
  ];
  return make("dl", { class: "facts" }, ...items.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, String(value)))));
}

function componentTable(components) {
  const rows = components.map((part) => [part.name, countText(part.parameters), bytesText(part.bytes), part.tensors,
    Object.entries(part.encodings).map(([name, bytes]) => name + " " + bytesText(bytes)).join(", ")]);
  return makeTable("Components", ["Component", "#Parameters", "#Weights", "#Tensors", "Stored as"], rows);
}

/** The blocks that stripping removed, in names of the model before it. */
function strippedBlocks(steps) {
  return steps.filter((step) => step.step === "strip").flatMap((step) => step.removed || []);
}

/** What quantizing did to each tensor of the U-Net, by name. */
function ledgerOf(steps) {
  const entries = steps.flatMap((step) => step.ledger || []).filter((entry) => entry.component === "unet");
  return new Map(entries.map((entry) => [entry.tensor, entry]));
}

/** The level of a block in the drawing: `down_blocks.1`, `mid_block`, `up_blocks.2`, or its own name. */
const levelOf = (name) => (name.match(/^(down_blocks|up_blocks)\.\d+/) || [name.split(".")[0]])[0];

/** The U-Net as a U: down on the left, up on the right, the middle below. */
function unetDrawing(unet, stripped, ledger) {
  const details = make("div", { id: "block-details", "aria-live": "polite" });
  const most = Math.max(1, ...unet.blocks.map((block) => block.bytes), ...stripped.map((block) => 2 * block.parameters));
  const levels = new Map();
  const add = (name, button) => {
    const level = levelOf(name);
    if (!levels.has(level)) levels.set(level, []);
    levels.get(level).push(button);
  };
  const shortName = (name) => name.replace(/^(down_blocks|up_blocks)\.\d+\.|^mid_block\./, "");
  for (const block of unet.blocks) {
    const button = make("button", { type: "button", class: "block", "aria-pressed": "false", click: () => {
      for (const other of document.querySelectorAll(".block[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      details.replaceChildren(blockDetails(block, unet, ledger));
    } }, make("b", {}, shortName(block.name)), make("span", {}, countText(block.parameters) + " · " + bytesText(block.bytes)));
    button.style.setProperty("--share", (100 * block.bytes / most).toFixed(1) + "%");
    add(block.name, button);
  }
  for (const block of stripped) {
    const levelAlone = block.block === levelOf(block.block);
    add(block.block, make("div", { class: "block gone" },
      make("b", {}, levelAlone ? block.block : shortName(block.block)), make("span", {}, countText(block.parameters) + " removed")));
  }
  const level = (name, isWide) => make("div", { class: "level" + (isWide ? " wide" : "") },
    make("p", { class: "title" }, name), ...(levels.get(name) || []));
  const sorted = (prefix) => [...levels.keys()].filter((name) => name.startsWith(prefix)).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const [down, up] = [sorted("down_blocks"), sorted("up_blocks").reverse()];
  const rows = [];
  for (let i = 0; i < Math.max(down.length, up.length); i++) {
    rows.push(down[i] ? level(down[i]) : make("div"), up[i] ? level(up[i]) : make("div"));
  }
  const others = [...levels.keys()].filter((name) => !/^(down_blocks|up_blocks|mid_block)/.test(name));
  const isOutput = (name) => /_out$/.test(name);
  const ends = [others.filter((name) => !isOutput(name)), others.filter(isOutput)].map((names) =>
    make("div", { class: "level" }, make("p", { class: "title" }, names.join(", ")), ...names.flatMap((name) => levels.get(name))));
  const middle = levels.has("mid_block") ? [level("mid_block", true)] : [];
  return make("div", {}, make("p", { class: "note" }, "Parameters and bytes of each block; the bar is its share of the largest. Removed blocks are dashed. Choose a block to see its layers."),
    make("div", { class: "unet" }, ...ends, ...rows, ...middle), details);
}

/** The tensors of a block: how each is stored, and what that cost. */
function blockDetails(block, unet, ledger) {
  const tensors = (unet.tensor_list || []).filter((tensor) => tensor.name.startsWith(block.name + "."));
  const rows = tensors.map((tensor) => {
    const entry = ledger.get(tensor.name);
    const quality = entry && entry.sqnr_db !== null ? entry.sqnr_db.toFixed(1) + " dB" : "–";
    return [tensor.name.slice(block.name.length + 1), tensor.shape.join("×"), tensor.encoding, bytesText(tensor.bytes), quality,
      entry ? entry.reason : ""];
  });
  return make("div", {}, make("h3", {}, block.name),
    makeTable("Tensors of " + block.name, ["Tensor", "Shape", "Stored as", "#Bytes", "#SQNR", "Reason"], rows));
}

/** The results of a verification, where the file has them. */
function verificationParts(record) {
  if (!record) return [];
  const guided = record.errors?.guided;
  const percent = (share) => (share === undefined || share === null ? "–" : digits(100 * share, 3) + " %");
  const facts = [["Verdict", record.verdict], ["Reference", record.reference?.name ?? record.reference]];
  if (guided) facts.push(["Error of the guided prediction, mean", percent(guided.mean)], ["At the worst step", percent(guided.worst)]);
  const items = facts.filter(([, value]) => typeof value === "string");
  return [make("h2", {}, "Verification"),
    make("dl", { class: "facts" }, ...items.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)))),
    make("details", {}, make("summary", {}, "All figures"),
      make("pre", { tabindex: "0", role: "region", "aria-label": "Figures of the verification" }, JSON.stringify(record, null, 2)))];
}

/** Where the model comes from. */
function originParts(provenance) {
  if (!provenance || Object.keys(provenance).length === 0) return [];
  const brief = { ...provenance, steps: (provenance.steps || []).map((step) => {
    const { ledger, removed, renamed, ...rest } = step;
    return rest;
  }) };
  return [make("h2", {}, "Origin"), make("pre", { tabindex: "0", role: "region", "aria-label": "Origin" }, JSON.stringify(brief, null, 2))];
}
