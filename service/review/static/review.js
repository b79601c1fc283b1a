// The review station: one image at a time by keyboard, the next ones loaded ahead. No outside code.
"use strict";
(() => {
  const AHEAD = 3;
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const $ = (id) => document.getElementById(id);
  const zoom = $("zoom"), image = $("image");
  let queue = [], current = null, done = [], shownAt = 0, lease = 180, busy = false;
  // An answer of the queue that was asked for before a verdict may still name the image that the verdict was about.
  let turn = 0;
  const judgedAt = new Map();
  let view = {scale: 1, x: 0, y: 0}, boxes = [], drag = null, blinking = null;

  const say = (text) => { $("status").textContent = text; };

  async function ask(path, options = {}) {
    const answer = await fetch(path, {credentials: "same-origin", ...options,
      headers: {"Accept": "application/json", "X-CSRF-Token": csrf, ...(options.body ? {"Content-Type": "application/json"} : {})}});
    if (answer.status === 401) { location.href = "/login"; throw new Error("logged out"); }
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail || body.title || body.error || `the service answers ${answer.status}`);
    return body;
  }

  const names = (task) => task.blind ? ["image", "normal"] : ["image", "heatmap", "reconstruction", "normal"];
  const url = (task, name) => `/review/${task.task}/${name}.png`;
  const pictures = new Map();
  function preload(task) {
    if (pictures.has(task.task)) return;
    pictures.set(task.task, names(task).map((name) => { const one = new Image(); one.src = url(task, name); return one; }));
  }

  async function fill() {
    const began = ++turn;
    const found = await ask(`/review/next?count=${AHEAD}`);
    lease = found.lease_s;
    const known = new Set([...queue, current].filter(Boolean).map((one) => one.task));
    for (const task of found.tasks) if (!known.has(task.task) && !(judgedAt.get(task.task) > began)) queue.push(task);
    queue.slice(0, AHEAD).forEach(preload);
    const age = found.oldest_s === null ? "" : `, the oldest waits ${Math.round(found.oldest_s / 60)} min`;
    $("status").dataset.queue = `${found.open} in the queue${age}`;
  }

  function fact(list, name, value) {
    if (value === null || value === undefined || value === "") return;
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name; dd.textContent = value; list.append(dt, dd);
  }

  function show(task) {
    current = task; boxes = []; stopBlinking();
    $("station").hidden = !task;
    if (!task) { say("The queue is empty. New images appear by themselves."); return; }
    preload(task);
    for (const name of ["image", "heatmap", "reconstruction", "normal"]) {
      const element = $(name), wanted = names(task).includes(name);
      if (element.closest("figure") && name !== "image") element.closest("figure").classList.toggle("gone", !wanted);
      if (wanted) {
        element.onerror = () => { if (name !== "image") element.closest("figure").classList.add("gone"); };
        element.src = url(task, name);
      } else element.removeAttribute("src");
    }
    const list = $("facts"); list.replaceChildren();
    fact(list, "wafer", task.wafer_id); fact(list, "point", task.inspection_point); fact(list, "lot", task.lot);
    fact(list, "tool", task.tool); fact(list, "layer", task.layer); fact(list, "recipe", task.recipe);
    if (task.blind) fact(list, "look", "blind: what the model thinks is shown after your verdict");
    else {
      fact(list, "decision", task.decision);
      fact(list, "score", task.score === null ? "not scored" : `${task.score.toFixed(2)} (REVIEW above ${task.review_above.toFixed(2)}` +
        (task.reject_above === null ? ")" : `, REJECT above ${task.reject_above.toFixed(2)})`));
      const defects = task.defect ? [task.defect, ...(task.defect.others || [])] : [];
      for (const one of defects) {
        const sure = one.probability === null || one.probability === undefined ? "" : ` ${Math.round(100 * one.probability)} %`;
        const or = (one.set || []).filter((name) => name !== one.type);
        fact(list, "defect", `${one.type}${sure}${or.length ? `, not excluded: ${or.join(", ")}` : ""}${one.bin ? `; bin ${one.bin}` : ""}`);
      }
    }
    $("reasons").replaceChildren(...(task.reasons || []).map((text) => { const li = document.createElement("li"); li.textContent = text; return li; }));
    fetch(`/review/${task.task}/wafer.svg`, {credentials: "same-origin"}).then((a) => a.ok ? a.text() : "").then((text) => {
      if (current !== task) return;
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      $("wafer").replaceChildren(...(parsed.nodeName === "svg" ? [document.importNode(parsed, true)] : []));
    }).catch(() => {});
    const ready = () => { if (current === task) { fit(); shownAt = performance.now(); say($("status").dataset.queue || ""); } };
    if (image.complete && image.naturalWidth) ready(); else image.onload = ready;
    shownAt = performance.now();
  }

  async function next() {
    stopBlinking();
    if (queue.length) show(queue.shift()); else { await fill(); show(queue.shift() || null); }
    if (queue.length < AHEAD - 1) fill().catch((error) => say(error.message));
  }

  async function verdict(kind, defect = null) {
    if (!current || busy) return;
    busy = true;
    const task = current, seconds = (performance.now() - shownAt) / 1000;
    try {
      const told = await ask(`/review/${task.task}/verdict`, {method: "POST", body: JSON.stringify({verdict: kind, defect, seconds, boxes})});
      done.push(task.task); judgedAt.set(task.task, ++turn);
      if (task.blind) say(`The model said ${told.decision}${told.score === null ? "" : `, score ${told.score.toFixed(2)}`}.`);
      await next();
    } catch (error) { say(`Not kept: ${error.message}`); if (/next one/.test(error.message)) await next(); }
    finally { busy = false; }
  }

  async function pass() {
    if (!current || busy) return;
    busy = true;
    const task = current;
    try {
      await ask(`/review/${task.task}/skip`, {method: "POST"});
      judgedAt.set(task.task, ++turn);
      await next();
      say(current && current.task === task.task ? "Nothing else waits." : "Left for later, or for somebody else.");
    } catch (error) { say(error.message); } finally { busy = false; }
  }

  function name(on) {
    if (on && !current) return;
    $("naming").hidden = !on; $("named").value = "";
    if (on) $("named").focus(); else if (document.activeElement === $("named")) $("named").blur();
  }

  async function undo() {
    if (busy || !done.length) { say("There is nothing to take back."); return; }
    busy = true;
    try {
      const back = await ask(`/review/${done[done.length - 1]}/verdict`, {method: "DELETE"});
      done.pop();
      if (current) queue.unshift(current);
      show(back.task); say("Taken back.");
    } catch (error) { say(error.message); } finally { busy = false; }
  }

  function paint() {
    image.style.transform = `translate(${view.x}px,${view.y}px) scale(${view.scale})`;
    zoom.querySelectorAll(".box").forEach((one) => one.remove());
    for (const [left, top, right, bottom] of drag && drag.box ? [...boxes, drag.box] : boxes) {
      const box = document.createElement("div"); box.className = "box";
      const w = image.naturalWidth * view.scale, h = image.naturalHeight * view.scale;
      Object.assign(box.style, {left: `${view.x + left * w}px`, top: `${view.y + top * h}px`, width: `${(right - left) * w}px`, height: `${(bottom - top) * h}px`});
      zoom.append(box);
    }
  }
  function fit() {
    const scale = Math.min(zoom.clientWidth / image.naturalWidth, zoom.clientHeight / image.naturalHeight);
    view = {scale, x: (zoom.clientWidth - image.naturalWidth * scale) / 2, y: (zoom.clientHeight - image.naturalHeight * scale) / 2};
    paint();
  }
  function zoomBy(factor, cx = zoom.clientWidth / 2, cy = zoom.clientHeight / 2) {
    const scale = Math.min(64, Math.max(0.05, view.scale * factor)), f = scale / view.scale;
    view = {scale, x: cx - (cx - view.x) * f, y: cy - (cy - view.y) * f}; paint();
  }
  function place(event) {
    const r = zoom.getBoundingClientRect();
    const clamp = (v) => Math.min(1, Math.max(0, v));
    return [clamp((event.clientX - r.left - view.x) / (image.naturalWidth * view.scale)), clamp((event.clientY - r.top - view.y) / (image.naturalHeight * view.scale))];
  }
  zoom.addEventListener("wheel", (event) => { event.preventDefault(); const r = zoom.getBoundingClientRect(); zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - r.left, event.clientY - r.top); }, {passive: false});
  zoom.addEventListener("pointerdown", (event) => { drag = {from: place(event), box: null}; zoom.setPointerCapture(event.pointerId); });
  zoom.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = place(event), [a, b] = drag.from;
    drag.box = [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)]; paint();
  });
  zoom.addEventListener("pointerup", () => {
    if (drag && drag.box && drag.box[2] - drag.box[0] > 0.005 && drag.box[3] - drag.box[1] > 0.005) boxes.push(drag.box);
    drag = null; paint();
  });

  function over(on) {
    if (!current || current.blind || blinking) return;
    image.src = url(current, on ? "heatmap" : "image");
    image.onload = fit;
  }
  function blink() {
    if (blinking) { stopBlinking(); return; }
    if (!current) return;
    let flip = false;
    blinking = setInterval(() => { flip = !flip; image.onload = fit; image.src = url(current, flip ? "normal" : "image"); }, 400);
  }
  function stopBlinking() { if (blinking) { clearInterval(blinking); blinking = null; if (current) image.src = url(current, "image"); } }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const key = event.key.toLowerCase(), types = [...document.querySelectorAll("[data-type]")];
    const acts = {g: () => verdict("good"), d: () => verdict("defect"), u: () => verdict("unsure"), z: undo, n: pass, t: () => name(true), b: blink,
      "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), "0": fit, escape: () => { boxes = []; paint(); },
      arrowleft: () => { view.x += 60; paint(); }, arrowright: () => { view.x -= 60; paint(); },
      arrowup: () => { view.y += 60; paint(); }, arrowdown: () => { view.y -= 60; paint(); },
      h: () => { if (!event.repeat) over(true); }};
    if (/^[1-9]$/.test(key) && types[key - 1]) { event.preventDefault(); verdict("defect", types[key - 1].dataset.type); return; }
    if (event.repeat && /^[gduznt]$/.test(key)) return;
    if (acts[key]) { event.preventDefault(); acts[key](); }
  });
  document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "h") over(false); });
  document.querySelectorAll("[data-verdict]").forEach((one) => one.addEventListener("click", () => verdict(one.dataset.verdict)));
  document.querySelectorAll("[data-type]").forEach((one) => one.addEventListener("click", () => verdict("defect", one.dataset.type)));
  $("undo").addEventListener("click", undo);
  $("other").addEventListener("click", () => name(true));
  $("named").addEventListener("keydown", (event) => { if (event.key === "Escape") name(false); });
  $("naming").addEventListener("submit", (event) => {
    event.preventDefault();
    const type = $("named").value.trim();
    name(false);
    if (type) verdict("defect", type);
  });
  $("skip").addEventListener("click", pass);
  window.addEventListener("resize", () => { if (current) fit(); });

  setInterval(() => {
    const tasks = [current, ...queue].filter(Boolean).map((one) => one.task).slice(0, 4);
    if (tasks.length) ask("/review/hold", {method: "POST", body: JSON.stringify({tasks})}).catch(() => {});
    else next().catch(() => {});
  }, 15000);
  next().catch((error) => say(error.message));
})();
