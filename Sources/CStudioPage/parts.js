"use strict";
// Elements and texts. Texts of models and users reach the page through textContent alone.

const byId = (id) => document.getElementById(id);

/** Makes an element: `make("p", {class: "note"}, "text", child)`. Functions are listeners. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The same for SVG. */
function makeSVG(name, attributes = {}, ...children) {
  const element = document.createElementNS(document.querySelector("svg").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A table. A column whose title begins with # holds numbers. */
function makeTable(caption, titles, rows) {
  const isNumber = titles.map((title) => title.startsWith("#"));
  const cell = (kind, content, column) =>
    make(kind, { class: isNumber[column] ? "n" : null, scope: kind === "th" ? "col" : null }, content);
  const head = make("tr", {}, ...titles.map((title, i) => cell("th", title.replace(/^#/, ""), i)));
  const body = rows.map((row) => make("tr", {}, ...row.map((content, i) => cell("td", content, i))));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", {}, make("caption", { class: "unseen" }, caption), make("thead", {}, head), make("tbody", {}, ...body)));
}

/** Shows a problem at its place, or hides it. */
function showProblem(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

/** Says a sentence to screen readers. */
function say(text) { byId("said").textContent = text; }

// Numbers, as the command line has them.

function bytesText(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (bytes >= 0.9995 * size) return digits(bytes / size, 3) + " " + unit;
  }
  return bytes + " bytes";
}

/** So many significant digits; those before the point are never dropped. */
function digits(number, count) {
  if (number === null || number === undefined) return "–";
  if (number === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(Number(number.toPrecision(count)))));
  return number.toFixed(Math.max(0, count - 1 - exponent));
}

function countText(count) { return String(count).replace(/\B(?=(\d{3})+$)/g, ","); }

function secondsText(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return digits(seconds, 3) + " s";
  const whole = Math.round(seconds);
  return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
}
