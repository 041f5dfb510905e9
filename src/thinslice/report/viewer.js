// The viewer of a report: three linked planes of one scan, as acquired, cubic, thinslice and with its uncertainty.
// No library, no network, no WebGL. Arrays are (slice, row, column); `viewer.py` and `embedded.py` made the data.
"use strict";
(() => {
  const WINDOWS = { lung: [-1350, 150], "soft tissue": [-160, 240], bone: [-450, 1050], brain: [0, 80] };
  const LOW = -1024, VALUES = 4096, NEAR_PX = 14;
  const root = document.getElementById("viewer");
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const numbers = JSON.parse(document.getElementById("viewer-numbers").textContent);
  const [slices, rows, columns] = numbers.shape;
  const state = {
    at: numbers.shape.map((count) => Math.floor(count / 2)), // slice, row and column of the crosshair
    middle: numbers.shape.map((count) => (count - 1) / 2), // what stands in the middle of each picture
    zoom: 1, split: 0.5, level: 0, width: 1, layers: ["cubic", "thinslice"], drag: "crosshair",
  };
  const gray = new Uint8ClampedArray(VALUES);
  let layers = {}, uncertainty = null, views = [], waiting = false;

  // --- data: what viewer.py packed -----------------------------------------------------------------

  function decoded(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return bytes;
  }

  async function inflated(name) {
    const packed = document.getElementById(`volume-${name}`).textContent.trim();
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : decoded(packed);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function unpacked(bytes, shape, table) {
    const [n, height, width] = shape, count = n * height * width, size = height * width;
    const values = new Int16Array(count), row = new Int32Array(width), hu = Int16Array.from(table);
    for (let p = 0, k = 0; k < n; k++) {
      row.fill(0); // codes of the row above, and left of u those of this row
      for (let v = 0; v < height; v++) {
        for (let u = 0, left = 0, corner = 0; u < width; u++, p++) {
          const above = row[u], between = left + above - corner, folded = bytes[p] | (bytes[count + p] << 8);
          const least = left < above ? left : above, most = left < above ? above : left;
          const expected = between < least ? least : between > most ? most : between;
          corner = above;
          left = expected + (folded & 1 ? -((folded + 1) >> 1) : folded >> 1);
          row[u] = left;
          values[p] = hu[left];
        }
      }
    }
    return values;
  }

  const pause = () => new Promise((resolve) => setTimeout(resolve));

  async function load() {
    const volume = async (name, shape, table) => {
      const bytes = await inflated(name);
      await pause();
      document.getElementById(`volume-${name}`).remove();
      return { values: unpacked(bytes, shape, table), shape, shrunk: 1 };
    };
    const acquired = await volume("acquired", [numbers.acquired, rows, columns], numbers.table);
    const result = await volume("result", numbers.shape, numbers.table);
    layers = {
      thick: { ...acquired, taps: numbers.thick },
      cubic: { ...acquired, taps: numbers.cubic },
      thinslice: { ...result, taps: Array.from({ length: slices }, (_, k) => [k, 1]) },
    };
    if (numbers.uncertainty) {
      const { shape } = numbers.uncertainty, table = Array.from({ length: 256 }, (_, k) => k);
      uncertainty = { ...(await volume("uncertainty", shape, table)), taps: layers.thinslice.taps, shrunk: 2 };
    }
  }

  // --- planes --------------------------------------------------------------------------------------

  function value(layer, k, j, i) {
    const [, height, width] = layer.shape, taps = layer.taps[k];
    const row = Math.min(height - 1, Math.floor(j / layer.shrunk));
    const within = row * width + Math.min(width - 1, Math.floor(i / layer.shrunk));
    let sum = 0;
    for (let t = 0; t < taps.length; t += 2) sum += taps[t + 1] * layer.values[taps[t] * height * width + within];
    return Math.round(sum);
  }

  function plane(view, layer) {
    const { axes: [normal, down, across], height, width } = view, out = new Int16Array(height * width), at = [0, 0, 0];
    at[normal] = state.at[normal];
    for (let v = 0, p = 0; v < height; v++) {
      at[down] = view.flip[0] ? height - 1 - v : v;
      for (let u = 0; u < width; u++, p++) {
        at[across] = view.flip[1] ? width - 1 - u : u;
        out[p] = value(layer, at[0], at[1], at[2]);
      }
    }
    return out;
  }

  function kept(view, name, layer) { // planes are made anew only where their place has changed
    const at = state.at[view.axes[0]], known = view.planes[name];
    if (!known || known.at !== at) view.planes[name] = { at, hu: plane(view, layer) };
    return view.planes[name].hu;
  }

  function picture(view, name) {
    const below = name === "uncertainty" ? "thinslice" : name, hu = kept(view, below, layers[below]);
    const sigma = name === below ? null : kept(view, name, uncertainty), { top, colours } = numbers.uncertainty || {};
    const image = new ImageData(view.width, view.height), pixels = image.data;
    for (let p = 0, q = 0; p < hu.length; p++, q += 4) {
      const shade = gray[Math.min(VALUES - 1, Math.max(0, hu[p] - LOW))];
      pixels[q] = pixels[q + 1] = pixels[q + 2] = shade;
      pixels[q + 3] = 255;
      if (sigma) {
        const share = Math.min(1, sigma[p] / top), cover = Math.min(0.7, 1.6 * share);
        const tint = colours[Math.round(share * (colours.length - 1))];
        for (let c = 0; c < 3; c++) pixels[q + c] = (1 - cover) * shade + cover * tint[c];
      }
    }
    view.store.getContext("2d").putImageData(image, 0, 0);
    return view.store;
  }

  // --- drawing -------------------------------------------------------------------------------------

  function fitted(view) { // from voxels of the plane to pixels of the canvas
    const { canvas, axes: [, down, across] } = view, mm = numbers.step_mm;
    const scales = [canvas.width / (view.width * mm[across]), canvas.height / (view.height * mm[down])];
    const scale = state.zoom * Math.min(...scales);
    const place = (axis, count, flip) => (flip ? count - 1 - state.middle[axis] : state.middle[axis]) + 0.5;
    return {
      sx: scale * mm[across], sy: scale * mm[down],
      x: canvas.width / 2 - place(across, view.width, view.flip[1]) * scale * mm[across],
      y: canvas.height / 2 - place(down, view.height, view.flip[0]) * scale * mm[down],
    };
  }

  function draw(view) {
    const { canvas, axes: [, down, across] } = view, pen = canvas.getContext("2d"), fit = fitted(view);
    const { width: w, height: h } = canvas, cut = state.split * w, ratio = window.devicePixelRatio || 1;
    const [a, b] = state.layers;
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, w, h);
    for (const [name, from, to] of [[a, 0, cut], [b, cut, w]]) {
      if (to <= from) continue;
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, h);
      pen.clip();
      pen.imageSmoothingEnabled = name !== "thick";
      pen.drawImage(picture(view, name), fit.x, fit.y, view.width * fit.sx, view.height * fit.sy);
      pen.restore();
    }
    const x = fit.x + (0.5 + (view.flip[1] ? view.width - 1 - state.at[across] : state.at[across])) * fit.sx;
    const y = fit.y + (0.5 + (view.flip[0] ? view.height - 1 - state.at[down] : state.at[down])) * fit.sy;
    const line = (style, wide, ...ends) => {
      pen.strokeStyle = style;
      pen.lineWidth = wide * ratio;
      pen.beginPath();
      for (const [x0, y0, x1, y1] of ends) { pen.moveTo(x0, y0); pen.lineTo(x1, y1); }
      pen.stroke();
    };
    const gap = 8 * ratio;
    line("rgba(110, 190, 255, 0.75)", 1,
      [0, y, x - gap, y], [x + gap, y, w, y], [x, 0, x, y - gap], [x, y + gap, x, h]);
    line("#ffd24a", 2, [cut, 0, cut, h]);
    pen.font = `${12 * ratio}px system-ui, sans-serif`;
    const write = (text, tx, ty, align, style) => {
      pen.textAlign = align;
      pen.lineWidth = 3 * ratio;
      pen.strokeStyle = "#000";
      pen.strokeText(text, tx, ty);
      pen.fillStyle = style;
      pen.fillText(text, tx, ty);
    };
    const [left, right, top, bottom] = view.edges, edge = 5 * ratio, high = 13 * ratio;
    write(left, edge, h / 2, "left", "#fff");
    write(right, w - edge, h / 2, "right", "#fff");
    write(top, w / 2 + high, high, "center", "#fff"); // beside the swipe line, where it begins
    write(bottom, w / 2 + high, h - edge, "center", "#fff");
    if (cut > 0) write(a, edge, high, "left", "#ffd24a");
    if (cut < w) write(b, w - edge, high, "right", "#ffd24a");
  }

  function refresh() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const low = state.level - state.width / 2;
      for (let k = 0; k < VALUES; k++) gray[k] = (255 * (k + LOW - low)) / state.width;
      views.forEach(draw);
      for (const view of views) {
        const at = state.at[view.axes[0]];
        view.slider.value = at;
        view.slider.setAttribute("aria-valuetext", `${at + 1} of ${numbers.shape[view.axes[0]]}`);
        view.shown.textContent = `${at + 1} / ${numbers.shape[view.axes[0]]}`;
      }
      const hu = (name) => `${name} ${value(layers[name], ...state.at)} HU`.replace("-", "\u2212");
      const sure = uncertainty ? `, uncertainty ${value(uncertainty, ...state.at)} HU` : "";
      find("values").textContent = `At the crosshair: ${["thick", "cubic", "thinslice"].map(hu).join(", ")}${sure}.`;
      const [level, width] = [state.level, state.width].map(Math.round), times = state.zoom.toFixed(1);
      find("window").textContent = `Level ${level}, width ${width} HU; zoom ${times}.`.replace("-", "\u2212");
      find("swipe").value = Math.round(100 * state.split);
      root.querySelectorAll("[data-window]").forEach((button) => {
        const [from, to] = WINDOWS[button.dataset.window];
        button.setAttribute("aria-pressed", String(state.level === (from + to) / 2 && state.width === to - from));
      });
    });
  }

  // --- what a person does --------------------------------------------------------------------------

  const within = (number, least, most) => Math.min(most, Math.max(least, number));

  function setWindow([low, high]) {
    state.level = (low + high) / 2;
    state.width = high - low;
    refresh();
  }

  function move(axis, by) {
    state.at[axis] = within(state.at[axis] + by, 0, numbers.shape[axis] - 1);
    refresh();
  }

  function zoom(times) {
    const before = state.zoom;
    state.zoom = within(state.zoom * times, 1, 12);
    state.middle = numbers.shape.map((count, axis) => { // the crosshair stays where it is, unless the whole is shown
      const at = state.at[axis];
      return state.zoom === 1 ? (count - 1) / 2 : at + ((state.middle[axis] - at) * before) / state.zoom;
    });
    refresh();
  }

  function reset() {
    state.zoom = 1;
    state.split = 0.5;
    state.at = numbers.shape.map((count) => Math.floor(count / 2));
    state.middle = numbers.shape.map((count) => (count - 1) / 2);
    setWindow(numbers.window);
  }

  function swap() {
    state.layers.reverse();
    ["left", "right"].forEach((side, k) => { find(side).value = state.layers[k]; });
    refresh();
  }

  function aim(view, x, y) { // puts the crosshair where a canvas was touched
    const { axes: [, down, across] } = view, fit = fitted(view);
    const u = within(Math.floor((x - fit.x) / fit.sx), 0, view.width - 1);
    const v = within(Math.floor((y - fit.y) / fit.sy), 0, view.height - 1);
    state.at[across] = view.flip[1] ? view.width - 1 - u : u;
    state.at[down] = view.flip[0] ? view.height - 1 - v : v;
    refresh();
  }

  function pan(view, dx, dy) {
    const { axes: [, down, across] } = view, fit = fitted(view);
    const shifted = (axis, by) => { state.middle[axis] = within(state.middle[axis] + by, 0, numbers.shape[axis] - 1); };
    shifted(across, ((view.flip[1] ? 1 : -1) * dx) / fit.sx);
    shifted(down, ((view.flip[0] ? 1 : -1) * dy) / fit.sy);
    refresh();
  }

  function listen(view) {
    const { canvas } = view, touching = new Map();
    let doing = null;
    const inside = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      return [x * canvas.width, y * canvas.height];
    };
    const apart = () => {
      const [[x0, y0], [x1, y1]] = [...touching.values()];
      return Math.hypot(x1 - x0, y1 - y0);
    };
    canvas.addEventListener("pointerdown", (event) => {
      const place = inside(event), reach = NEAR_PX * (window.devicePixelRatio || 1);
      canvas.setPointerCapture(event.pointerId);
      touching.set(event.pointerId, place);
      if (touching.size === 2) doing = "pinch";
      else if (event.button === 2 || event.shiftKey) doing = "window";
      else if (Math.abs(place[0] - state.split * canvas.width) < reach) doing = "swipe";
      else doing = state.drag;
      if (doing === "crosshair") aim(view, ...place);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!touching.has(event.pointerId)) return;
      const before = touching.get(event.pointerId), place = inside(event), span = doing === "pinch" && apart();
      touching.set(event.pointerId, place);
      const dx = place[0] - before[0], dy = place[1] - before[1];
      if (doing === "pinch" && touching.size === 2) {
        pan(view, dx / 2, dy / 2);
        zoom(apart() / Math.max(1, span));
      } else if (doing === "window") {
        state.width = within(state.width * Math.exp(dx / 200), 10, 4096);
        state.level = within(state.level + (dy * state.width) / 400, -1024, 3071);
        refresh();
      } else if (doing === "swipe") {
        state.split = within(place[0] / canvas.width, 0, 1);
        refresh();
      } else if (doing === "move") pan(view, dx, dy);
      else if (doing === "crosshair") aim(view, ...place);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => { touching.delete(event.pointerId); doing = null; });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) zoom(Math.exp(-event.deltaY / 200));
      else move(view.axes[0], Math.sign(event.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const presets = Object.values(WINDOWS), [normal] = view.axes;
      const keys = {
        ArrowUp: () => move(normal, -1), ArrowDown: () => move(normal, 1),
        PageUp: () => move(normal, -10), PageDown: () => move(normal, 10),
        ArrowLeft: () => { state.split = within(state.split - 0.02, 0, 1); refresh(); },
        ArrowRight: () => { state.split = within(state.split + 0.02, 0, 1); refresh(); },
        "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset, x: swap,
      };
      const act = keys[event.key] || (presets[event.key - 1] && (() => setWindow(presets[event.key - 1])));
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
    view.slider.addEventListener("input", () => { state.at[view.axes[0]] = Number(view.slider.value); refresh(); });
  }

  // --- putting it together -------------------------------------------------------------------------

  function makeViews() {
    views = numbers.planes.map((given) => {
      const { axes: [normal, down, across] } = given, figure = find(given.name);
      const view = {
        ...given, height: numbers.shape[down], width: numbers.shape[across], planes: {},
        canvas: figure.querySelector("canvas"), slider: figure.querySelector("input"),
        shown: figure.querySelector("output"), store: document.createElement("canvas"),
      };
      Object.assign(view.store, { width: view.width, height: view.height });
      Object.assign(view.slider, { max: numbers.shape[normal] - 1 });
      listen(view);
      new ResizeObserver(() => {
        const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = view.canvas;
        const [width, height] = [clientWidth, clientHeight].map((length) => Math.max(1, Math.round(length * ratio)));
        Object.assign(view.canvas, { width, height });
        draw(view);
      }).observe(view.canvas);
      return view;
    });
  }

  function listenToControls() {
    ["left", "right"].forEach((side, k) => {
      find(side).addEventListener("change", (event) => { state.layers[k] = event.target.value; refresh(); });
      state.layers[k] = find(side).value;
    });
    find("swipe").addEventListener("input", (event) => { state.split = event.target.value / 100; refresh(); });
    root.querySelectorAll("[data-window]").forEach((button) =>
      button.addEventListener("click", () => setWindow(WINDOWS[button.dataset.window])));
    root.querySelectorAll('[name="drag"]').forEach((choice) =>
      choice.addEventListener("change", () => { state.drag = choice.value; }));
    const actions = { in: () => zoom(1.25), out: () => zoom(0.8), reset, swap };
    for (const [name, act] of Object.entries(actions)) find(name).addEventListener("click", act);
  }

  async function start() {
    root.hidden = false;
    document.getElementById("no-viewer").hidden = true;
    try {
      if (!window.DecompressionStream) throw new Error("this browser is too old for it");
      await load();
      find("loading").remove();
      find("board").hidden = false;
      makeViews();
      listenToControls();
      setWindow(numbers.window);
      requestAnimationFrame(() => requestAnimationFrame(() => { root.dataset.state = "ready"; }));
    } catch (error) {
      root.dataset.state = "failed";
      find("loading").textContent = `The viewer cannot be shown: ${error.message}. The pictures below need none.`;
    }
  }

  start();
})();
