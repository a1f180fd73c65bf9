// Calls of the server, and the job that this tab follows.

const session = { token: null, server: null, job: null, following: null, images: new Map() };

/** A refusal of the server. */
class Refusal extends Error {
  constructor(status, reason, parameter) {
    super(reason);
    this.status = status;
    this.parameter = parameter;
  }
}

async function call(method, path, body, signal) {
  const headers = {};
  if (session.token) headers.Authorization = "Bearer " + session.token;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) askForToken();
  const answer = await response.json().catch(() => ({}));
  const error = answer.error || {};
  throw new Refusal(response.status, error.reason || "The server answered " + response.status + ".", error.parameter);
}

const callJSON = async (method, path, body) => (await call(method, path, body)).json();

/** An address of an image of the server for this tab. The header with the token cannot be in an img. */
async function imageURL(path) {
  if (!session.images.has(path)) {
    const promise = call("GET", path).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob));
    session.images.set(path, promise);
    promise.catch(() => session.images.delete(path));
  }
  return session.images.get(path);
}

/** Releases the images of a job that is gone. */
function releaseImages(id) {
  for (const [path, promise] of session.images) {
    if (!path.startsWith("/api/jobs/" + id + "/")) continue;
    session.images.delete(path);
    promise.then((url) => URL.revokeObjectURL(url), () => {});
  }
}

/** An image of the server. */
function serverImage(path, alt, attributes = {}) {
  const image = make("img", { alt, ...attributes });
  imageURL(path).then((url) => { image.src = url; }, () => { image.alt = alt + " (no longer kept by the server)"; });
  return image;
}

function askForToken() {
  byId("gate").hidden = false;
  byId("gate-token").focus();
}

/** Calls `handle(name, data)` for each event of a job until it ends. */
async function followEvents(id, handle, signal) {
  const response = await call("GET", "/api/jobs/" + id + "/events", undefined, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const messages = text.split("\n\n");
    text = messages.pop();
    for (const message of messages) {
      const lines = message.split("\n");
      const name = lines.find((line) => line.startsWith("event: "));
      const data = lines.find((line) => line.startsWith("data: "));
      if (name && data) handle(name.slice(7), JSON.parse(data.slice(6)));
    }
  }
}

/** Adds a job and follows it: `view` gets its states, steps, images and end. */
async function runJob(path, settings, view) {
  setRunning(true);
  let job;
  try {
    job = await callJSON("POST", path, settings);
  } catch (error) {
    setRunning(false);
    throw error;
  }
  await followJob(job, view);
}

async function followJob(job, view) {
  session.job = job;
  session.following = new AbortController();
  setRunning(true);
  view.begin(job);
  showProgress(job);
  let isEnded = false;
  try {
    await followEvents(job.id, (name, data) => {
      if (name === "step") { job.progress = data; view.step(data); }
      if (name === "progress") job.progress = data;
      if (name === "state" || name === "image" || name === "end") Object.assign(job, data);
      if (name === "image") view.image(job);
      if (name === "end") isEnded = true;
      if (session.job === job) showProgress(job);
    }, session.following.signal);
    if (!isEnded) Object.assign(job, await callJSON("GET", "/api/jobs/" + job.id));
  } finally {
    if (session.job === job) { session.job = null; setRunning(false); byId("progress").hidden = true; }
  }
  view.end(job);
  say(job.state === "done" ? "Done." : job.state === "cancelled" ? "Cancelled." : "Failed.");
  refreshHistory();
}

async function cancelJob() {
  if (!session.job) return;
  byId("cancel").disabled = byId("bench-cancel").disabled = true;
  await call("DELETE", "/api/jobs/" + session.job.id).catch((error) => showProblem(byId("trouble"), error.message));
}

function setRunning(isRunning) {
  byId("run").disabled = byId("bench-run").disabled = isRunning;
  byId("cancel").disabled = byId("bench-cancel").disabled = !isRunning;
}

const stages = {
  waiting: "waiting", reading: "reading the model", loading: "preparing the model", generating: "preparing",
  decoding: "decoding the image", measuring: "measuring",
};

function progressText(job) {
  if (job.state === "queued") return job.position === 1 ? "1 job before this one" : job.position + " jobs before this one";
  const progress = job.progress;
  const parts = [];
  if (progress.model && job.settings.models.length > 1) parts.push(progress.model);
  if (progress.images > 1) parts.push("image " + Math.min(progress.images, progress.images_done + 1) + " of " + progress.images);
  const isStepping = progress.stage === "generating" && progress.step > 0;
  parts.push(isStepping ? "step " + progress.step + " of " + progress.steps : stages[progress.stage] || progress.stage);
  if (progress.seconds_per_step !== null) parts.push(secondsText(progress.seconds_per_step) + " per step");
  if (progress.seconds_left !== null && progress.seconds_left > 1) parts.push("about " + secondsText(progress.seconds_left) + " left");
  return parts.join(" · ");
}

function showProgress(job) {
  byId("progress").hidden = false;
  byId("progress-text").textContent = progressText(job);
  const bar = byId("progress-bar");
  if (job.progress.share > 0) bar.value = job.progress.share; else bar.removeAttribute("value");
}

// History.

async function refreshHistory() {
  const { jobs } = await callJSON("GET", "/api/jobs").catch(() => ({ jobs: [] }));
  const finished = jobs.filter((job) => ["done", "cancelled"].includes(job.state) && (job.results.some((r) => r.images.length) || job.bench));
  byId("history").hidden = finished.length === 0;
  byId("history-list").replaceChildren(...finished.map(historyEntry));
}

function historyEntry(job) {
  const first = job.results.find((result) => result.images.length);
  const models = job.settings.models.join(" and ");
  const title = job.kind === "bench" ? "Measurement" : job.settings.prompt || "(no prompt)";
  const thumb = first
    ? serverImage(first.images[0].url, "", { class: "thumb", loading: "lazy" })
    : make("span", { class: "thumb none" }, "table");
  const open = make("button", { type: "button", class: "entry", click: () => openJob(job) }, thumb, make("span", {}, title), make("span", { class: "what" }, models));
  const forget = make("button", {
    type: "button", class: "forget", "aria-label": "Remove " + title, title: "Remove",
    click: async () => { await call("DELETE", "/api/jobs/" + job.id).catch(() => {}); releaseImages(job.id); refreshHistory(); },
  }, "×");
  return make("li", {}, open, forget);
}

/** Shows a job of the history with its settings. */
function openJob(job) {
  if (job.kind === "bench") { selectTab("bench"); showBench(job); return; }
  const isComparison = job.settings.models.length > 1;
  selectTab(isComparison ? "compare" : "generate");
  fillSettings(job.settings);
  (isComparison ? compareView : generateView).end(job);
  byId("main").scrollIntoView();
}
