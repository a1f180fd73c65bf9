// Images of several models for the same prompt and seed.

const compareView = {
  output: () => byId("compare-output"),
  begin(job) { this.output().replaceChildren(previewFigure(job)); },
  step(step) { showPreview(this.output(), step); },
  image() {},
  end(job) {
    const results = job.results.filter((result) => result.images.length);
    if (job.state !== "done" || results.length < 2) { this.output().replaceChildren(outcomeText(job)); return; }
    this.output().replaceChildren(...notesOf(job), comparison(job, results), resultTable(results));
  },
};

/** The slider between two images, and their difference. */
function comparison(job, results) {
  const place = make("div", {});
  const choice = (label, id, options, start) => {
    const select = make("select", { id, change: () => show() }, ...options.map((text, i) => make("option", { value: i }, text)));
    select.value = start;
    return [make("div", {}, make("label", { for: id }, label), select), select];
  };
  const names = results.map((result) => result.model);
  const [left, leftSelect] = choice("Left", "compare-left", names, 0);
  const [right, rightSelect] = choice("Right", "compare-right", names, 1);
  const seeds = results[0].images.map((image) => "seed " + image.seed);
  const [seed, seedSelect] = choice("Image", "compare-seed", seeds, 0);
  if (seeds.length < 2) seed.hidden = true;

  function show() {
    const number = Number(seedSelect.value);
    const [a, b] = [leftSelect, rightSelect].map((select) => results[Number(select.value)]);
    const [imageA, imageB] = [a.images[number], b.images[number]];
    const attributes = { width: imageA.width, height: imageA.height, class: imageA.width < 256 ? "coarse" : null };
    const view = make("div", { class: "view" },
      serverImage(imageA.url, "Image of " + a.model, attributes),
      serverImage(imageB.url, "Image of " + b.model, { ...attributes, class: "over " + (attributes.class || "") }),
      make("span", { class: "tag left" }, a.model), make("span", { class: "tag right" }, b.model), make("span", { class: "cut" }));
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50, id: "divider", class: "slider",
      input: () => view.style.setProperty("--cut", slider.value + "%") });
    const parts = [view, slider, make("label", { class: "slider-label", for: "divider" }, "Move the divider between the two images")];
    // The server compares each model with the first one.
    const other = imageB.comparison && a === results[0] ? b : imageA.comparison && b === results[0] ? a : null;
    if (other) parts.push(difference(other.images[number], results[0].model, other.model));
    place.replaceChildren(...parts);
  }
  show();
  return make("div", {}, make("div", { class: "choose" }, left, right, seed), place);
}

function difference(image, reference, model) {
  if (image.comparison.identical) return make("p", { class: "note" }, "The images are identical.");
  const attributes = { width: image.width, height: image.height, class: image.width < 256 ? "coarse" : null };
  const facts = comparisonFacts(image.comparison);
  return make("details", {}, make("summary", {}, "Difference: " + facts),
    make("figure", { class: "preview" }, serverImage(image.comparison.difference_url, "Differences times 8", attributes),
      make("figcaption", {}, "Difference of " + model + " from " + reference + ", times 8")));
}

function comparisonFacts(comparison) {
  const ssim = comparison.ssim === null ? "" : ", SSIM " + comparison.ssim.toFixed(3);
  return digits(comparison.psnr, 3) + " dB PSNR" + ssim;
}

/** Figures of each model; PSNR and SSIM are the worst of its images. */
function resultTable(results) {
  const rows = results.map((result) => {
    const comparisons = result.images.map((image) => image.comparison).filter((c) => c);
    const worst = (name) => {
      const values = comparisons.map((c) => c[name]).filter((value) => value !== null);
      return values.length ? Math.min(...values) : null;
    };
    const isSame = comparisons.length > 0 && comparisons.every((c) => c.identical);
    const psnr = comparisons.length === 0 ? "reference" : isSame ? "identical" : digits(worst("psnr"), 3) + " dB";
    return [result.model, psnr, comparisons.length && worst("ssim") !== null ? worst("ssim").toFixed(3) : "–",
      bytesText(result.file_bytes), bytesText(result.peak_bytes), secondsText(result.seconds_per_step), secondsText(result.seconds)];
  });
  return makeTable("Figures of the models", ["Model", "#PSNR", "#SSIM", "#File", "#Peak memory", "#Per step", "#Time"], rows);
}
