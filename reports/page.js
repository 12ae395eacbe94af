"use strict";
(() => {
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isTouch = window.matchMedia("(pointer: coarse)").matches;
  const darkColours = JSON.parse(document.getElementById("dark-colours").textContent);
  const labels = JSON.parse(document.getElementById("labels").textContent);
  const canvases = [...document.querySelectorAll(".canvas")];

  // Replace every colour anywhere in a figure by its dark partner.
  const recolour = (part) => {
    if (typeof part === "string") return darkColours[part] ?? part;
    if (Array.isArray(part)) return part.map(recolour);
    if (part !== null && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, recolour(value)]));
    }
    return part;
  };

  // Hover texts and links stand in `labels` once; the figures hold their positions there.
  const restoreLabels = (trace) => {
    for (const field of trace.meta?.shared ?? []) {
      trace[field] = trace[field].map((position) => (position === null ? null : labels[position]));
    }
  };

  const draw = (canvas) => {
    const plain = JSON.parse(document.getElementById(canvas.dataset.figure).textContent);
    plain.data.forEach(restoreLabels);
    const figure = prefersDark.matches ? recolour(plain) : plain;
    if (isTouch && !figure.layout.scene) figure.layout.dragmode = false; // a finger scrolls the page
    canvas.dataset.drawn = "yes";
    Plotly.react(canvas, figure.data, figure.layout, {
      responsive: true, displaylogo: false, displayModeBar: isTouch ? false : "hover", scrollZoom: false,
      showSendToCloud: false, plotlyServerURL: "", // plotly.js offers by default to upload the data
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "zoom3d", "pan3d",
        "orbitRotation", "tableRotation", "resetCameraLastSave3d", "hoverClosest3d"],
    }).then(() => {
      if (!figure.data.some((trace) => (trace.customdata ?? []).some?.(Boolean))) return;
      canvas.classList.add("clickable");
      canvas.removeAllListeners("plotly_click");
      canvas.on("plotly_click", ({ points }) => {
        const address = points[0]?.customdata;
        if (typeof address === "string") window.open(address, "_blank", "noopener");
      });
    });
  };

  if (window.Plotly) {
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "900px" });
    canvases.forEach((canvas) => watcher.observe(canvas));
    prefersDark.addEventListener("change", () => canvases.filter((canvas) => canvas.dataset.drawn).forEach(draw));
    window.addEventListener("beforeprint", () => canvases.filter((canvas) => !canvas.dataset.drawn).forEach(draw));
  }

  for (const button of document.querySelectorAll(".more")) {
    button.addEventListener("click", () => {
      const isOpen = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!isOpen));
      document.getElementById(button.getAttribute("aria-controls")).hidden = isOpen;
    });
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      let isCopied = true;
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        isCopied = false; // no clipboard in a sandboxed frame: select the text instead
        window.getSelection().selectAllChildren(button.previousElementSibling);
      }
      button.textContent = isCopied ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  if (window.self !== window.top) document.documentElement.classList.add("framed");
})();
