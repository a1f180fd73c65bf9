// The settings, and the view of one model's images.

const numbers = [
  ["steps", "steps"], ["guidance", "guidance_scale"], ["width", "width"], ["height", "height"], ["count", "count"],
];

const isComparing = () => byId("tab-compare").getAttribute("aria-selected") === "true";

/** The names of the chosen models; the reference first. */
function chosenModels() {
  if (!isComparing()) return [byId("model").value];
  return [...document.querySelectorAll("#models input:checked")].map((box) => box.value);
}

const modelNamed = (name) => session.server.models.find((model) => model.name === name);

/** The settings as the server takes them. Empty fields are left out; the server has defaults. */
function readSettings() {
  const settings = { prompt: byId("prompt").value, models: chosenModels(), scheduler: byId("scheduler").value };
  const negative = byId("negative").value;
  if (negative) settings.negative_prompt = negative;
  for (const [id, name] of numbers) {
    const text = byId(id).value.trim();
    if (text !== "") settings[name] = Number(text);
  }
  const seed = byId("seed").value.trim();
  settings.seed = seed === "" ? -1 : Number(seed);
  if (!settings.scheduler) delete settings.scheduler;
  return settings;
}

/** Fills the fields with settings of a job. */
function fillSettings(settings) {
  byId("prompt").value = settings.prompt;
  byId("negative").value = settings.negative_prompt;
  byId("scheduler").value = settings.scheduler || "";
  byId("seed").value = settings.seed;
  for (const [id, name] of numbers) byId(id).value = settings[name];
  byId("model").value = settings.models[0];
  for (const box of document.querySelectorAll("#models input")) box.checked = settings.models.includes(box.value);
  for (const id of ["prompt", "steps", "guidance", "width", "height", "count", "seed"]) byId(id).removeAttribute("aria-invalid");
  showProblem(byId("problem"), "");
}

/** Puts a model's usual settings into the fields. */
function fillDefaults(model) {
  byId("steps").value = model.steps;
  byId("guidance").value = model.guidance_scale;
  byId("width").value = model.width;
  byId("height").value = model.height;
  byId("scheduler").value = model.scheduler || "";
}

const fieldOf = { guidance_scale: "guidance", negative_prompt: "negative", models: "model" };

async function submitSettings(event) {
  event.preventDefault();
  const view = isComparing() ? compareView : generateView;
  const problem = byId("problem");
  showProblem(problem, "");
  for (const field of document.querySelectorAll("#settings [aria-invalid]")) field.removeAttribute("aria-invalid");
  if (isComparing() && chosenModels().length < 2) return showProblem(problem, "Choose two models or more.");
  try {
    await runJob("/api/generate", readSettings(), view);
  } catch (error) {
    showProblem(problem, error.message);
    const field = byId(fieldOf[error.parameter] || error.parameter || "");
    if (field) { field.setAttribute("aria-invalid", "true"); field.focus(); }
  }
}

/** A small picture of unfinished latents, enlarged. */
function previewFigure(job) {
  const image = make("img", { alt: "Preview of the unfinished image", class: "blurred", hidden: true,
    width: job.settings.width, height: job.settings.height });
  return make("figure", { class: "preview" }, image, make("figcaption", {}, "Preview, without the decoder"));
}

function showPreview(output, step) {
  const image = output.querySelector(".preview img");
  if (image && step.preview) { image.src = step.preview; image.hidden = false; }
}

/** What is said about a job that made nothing. */
function outcomeText(job) {
  if (job.state === "cancelled") return make("p", { class: "empty" }, "Cancelled.");
  const reason = job.error ? job.error.reason : "The job made no image.";
  return make("p", { class: "trouble", role: "alert" }, reason);
}

function notesOf(job) {
  return job.notes.map((note) => make("p", { class: "note" }, "Note: " + note));
}

/** An image with its facts, a download, and a way to use its settings again. */
function imageFigure(job, image, number, model) {
  const name = "decant-" + image.seed + ".png";
  const download = make("a", { download: name }, "Download PNG");
  imageURL(image.url).then((url) => { download.href = url; }, () => download.remove());
  const again = make("button", { type: "button", class: "small", click: () => {
    fillSettings({ ...job.settings, seed: image.seed, count: 1 });
    byId("prompt").focus();
  } }, "Use settings");
  const shown = serverImage(image.url, job.settings.prompt || "Generated image", {
    width: image.width, height: image.height, class: image.width < 256 ? "coarse" : null });
  return make("figure", {}, shown,
    make("figcaption", {}, make("b", {}, model), " · seed " + image.seed + " · " + image.width + "×" + image.height),
    make("div", { class: "buttons" }, download, again));
}

const generateView = {
  output: () => byId("generate-output"),
  begin(job) { this.output().replaceChildren(previewFigure(job)); },
  step(step) { showPreview(this.output(), step); },
  image(job) {
    if (job.progress.images_done < job.progress.images) this.show(job, previewFigure(job));
  },
  show(job, extra) {
    const figures = job.results.flatMap((result) =>
      result.images.map((image, number) => imageFigure(job, image, number, result.model)));
    if (extra) figures.push(extra);
    this.output().replaceChildren(...notesOf(job),
      make("div", { class: "images" + (figures.length === 1 ? " one" : "") }, ...figures));
  },
  end(job) {
    if (job.results.some((result) => result.images.length)) {
      this.show(job);
      const seconds = job.results[0].seconds_per_step;
      if (job.state === "done" && seconds !== null) {
        this.output().append(make("p", { class: "note" }, secondsText(job.seconds) + ", " + secondsText(seconds) + " per step"));
      }
      if (job.state === "failed") this.output().prepend(outcomeText(job));
    } else {
      this.output().replaceChildren(outcomeText(job));
    }
  },
};

/** Fills the choices of models and schedulers once the server has told them. */
function fillChoices() {
  const { models, schedulers, limits } = session.server;
  const option = (value, text) => make("option", { value }, text);
  for (const id of ["model", "inspected"]) {
    byId(id).replaceChildren(...models.map((model) => option(model.name, model.name)));
  }
  byId("models").replaceChildren(...models.map((model, i) => {
    const box = make("input", { type: "checkbox", value: model.name, id: "model-" + i });
    box.checked = i < 2;
    return make("label", { class: "check", for: "model-" + i }, box, model.name);
  }));
  byId("scheduler").replaceChildren(option("", "the model's own"), ...schedulers.map((s) => option(s.name, s.title)));
  byId("steps").max = limits.steps;
  byId("count").max = limits.images;
  byId("prompt").maxLength = byId("negative").maxLength = limits.prompt_length;
  for (const id of ["width", "height", "bench-width", "bench-height"]) {
    byId(id).step = byId(id).min = models[0].side_factor;
    byId(id).max = limits.side;
  }
  fillDefaults(models[0]);
}
