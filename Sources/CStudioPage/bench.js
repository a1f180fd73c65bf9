// Measurements of the models.

const benchView = {
  begin() { byId("bench-output").replaceChildren(); },
  step() {},
  image() {},
  end(job) { showBench(job); },
};

async function submitBench(event) {
  event.preventDefault();
  const problem = byId("bench-problem");
  showProblem(problem, "");
  const settings = {};
  for (const [id, name] of [["bench-steps", "steps"], ["bench-guidance", "guidance_scale"], ["bench-width", "width"], ["bench-height", "height"]]) {
    const text = byId(id).value.trim();
    if (text !== "") settings[name] = Number(text);
  }
  try {
    await runJob("/api/bench", settings, benchView);
  } catch (error) {
    showProblem(problem, error.message);
  }
}

const benchTitles = ["Model", "#U-Net parameters", "#File", "#Size", "#Per step", "#Per image", "#Speed-up", "#Peak memory"];

function benchRows(models) {
  const first = models[0].seconds_per_step;
  return models.map((row) => {
    const model = modelNamed(row.name);
    return [row.name, countText(model ? model.unet_parameters : row.parameters), bytesText(row.file_bytes), row.width + "×" + row.height,
      secondsText(row.seconds_per_step), secondsText(row.seconds_per_picture), digits(first / row.seconds_per_step, 3) + "×", bytesText(row.peak_bytes)];
  });
}

function showBench(job) {
  const output = byId("bench-output");
  if (!job.bench) { output.replaceChildren(outcomeText(job)); return; }
  const rows = benchRows(job.bench.models);
  const titles = benchTitles.map((title) => title.replace("#", ""));
  const line = (cells) => "| " + cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ") + " |";
  const markdown = [line(titles), line(benchTitles.map((t) => t.startsWith("#") ? "---:" : "---")), ...rows.map(line)].join("\n");
  const quoted = (cell) => /[",\n]/.test(cell) ? '"' + String(cell).replaceAll('"', '""') + '"' : String(cell);
  const plain = [["model", "unet_parameters", "file_bytes", "width", "height", "seconds_per_step", "seconds_per_image", "speed_up", "peak_bytes"],
    ...job.bench.models.map((row) => [row.name, modelNamed(row.name)?.unet_parameters ?? row.parameters, row.file_bytes ?? "", row.width, row.height,
      row.seconds_per_step, row.seconds_per_picture, job.bench.models[0].seconds_per_step / row.seconds_per_step, row.peak_bytes])];
  const csv = plain.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  output.replaceChildren(
    makeTable("Measurements", benchTitles, rows),
    make("p", { class: "note" }, job.bench.machine + "; " + job.settings.steps + " steps, guidance scale " + job.settings.guidance_scale),
    make("div", { class: "buttons" }, copyButton("Copy Markdown", markdown), copyButton("Copy CSV", csv)));
}

/** A button that copies a text, and shows it where the browser does not allow that. */
function copyButton(label, text) {
  const button = make("button", { type: "button", class: "small", click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      say("Copied.");
      setTimeout(() => { button.textContent = label; }, 1500);
    } catch {
      button.after(make("pre", { tabindex: "0" }, text));
    }
  } }, label);
  return button;
}
