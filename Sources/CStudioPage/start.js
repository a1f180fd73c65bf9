// Tabs, listeners and the first calls.

const tabs = ["generate", "compare", "inspect", "bench"];

function selectTab(name) {
  for (const other of tabs) {
    const isSelected = other === name;
    byId("tab-" + other).setAttribute("aria-selected", String(isSelected));
    byId("tab-" + other).tabIndex = isSelected ? 0 : -1;
    byId("view-" + other).hidden = !isSelected;
  }
  // The same settings serve one model and several.
  if (name === "generate" || name === "compare") {
    byId("view-" + name).prepend(byId("settings"));
    byId("model-one").hidden = name === "compare";
    byId("model-many").hidden = name !== "compare";
    byId("run").textContent = name === "compare" ? "Compare" : "Generate";
  }
  if (name === "inspect" && session.server && !byId("inspect-output").hasChildNodes()) showModel(byId("inspected").value);
}

/** Arrow keys move between tabs, as the pattern of tabs of WAI-ARIA has it. */
function moveTab(event) {
  const now = tabs.findIndex((name) => byId("tab-" + name) === document.activeElement);
  const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (now < 0 || next === undefined) return;
  event.preventDefault();
  const name = tabs[(next + tabs.length) % tabs.length];
  selectTab(name);
  byId("tab-" + name).focus();
}

async function start() {
  try {
    session.server = await callJSON("GET", "/api/server");
  } catch (error) {
    if (error.status !== 401) showProblem(byId("trouble"), error.message);
    return;
  }
  byId("gate").hidden = true;
  showProblem(byId("trouble"), "");
  byId("version").textContent = session.server.version;
  fillChoices();
  if (byId("tab-inspect").getAttribute("aria-selected") === "true") showModel(byId("inspected").value);
  const { jobs } = await callJSON("GET", "/api/jobs");
  refreshHistory();
  // A page that is loaded again goes on following its job.
  const running = jobs.find((job) => job.state === "running");
  if (running) {
    const isComparison = running.kind === "generate" && running.settings.models.length > 1;
    selectTab(running.kind === "bench" ? "bench" : isComparison ? "compare" : "generate");
    if (running.kind === "generate") fillSettings(running.settings);
    await followJob(running, running.kind === "bench" ? benchView : isComparison ? compareView : generateView);
  }
}

for (const name of tabs) byId("tab-" + name).addEventListener("click", () => selectTab(name));
byId("tabs").addEventListener("keydown", moveTab);
byId("settings").addEventListener("submit", submitSettings);
byId("bench-form").addEventListener("submit", submitBench);
byId("cancel").addEventListener("click", cancelJob);
byId("bench-cancel").addEventListener("click", cancelJob);
byId("dice").addEventListener("click", () => { byId("seed").value = Math.floor(Math.random() * 2 ** 32); });
byId("model").addEventListener("change", () => fillDefaults(modelNamed(byId("model").value)));
byId("inspected").addEventListener("change", () => showModel(byId("inspected").value));
byId("settings").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("settings").requestSubmit();
});
byId("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.token = byId("gate-token").value;
  sessionStorage.setItem("token", session.token);
  start();
});
// The token may follow the address as #token=…, which browsers do not send to servers.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) history.replaceState(null, "", location.pathname);
session.token = given || sessionStorage.getItem("token");
if (given) sessionStorage.setItem("token", given);
start();
