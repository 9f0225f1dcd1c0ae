// Keeps a page of jobs fresh: fetches the page it stands in, and moves only what has changed into place,
// so that selections, scroll positions and folded parts stay as they are.
(function () {
  "use strict";

  const live = document.getElementById("jobs-live");
  const status = document.getElementById("jobs-status");
  const dot = document.getElementById("jobs-dot");
  const when = document.getElementById("jobs-when");
  const pause = document.getElementById("jobs-pause");
  const trouble = document.getElementById("jobs-trouble");
  const TIMEOUT = 10000;
  let running = pause.dataset.on === "yes";
  let timer = null;
  let asking = false;

  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh.cloneNode(true));
    } else if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    } else {
      morphAttributes(old, fresh);
      morphChildren(old, fresh);
    }
  }

  function morphAttributes(old, fresh) {
    // Whether a part is folded is the reader's decision, not the server's.
    const own = (name) => old.nodeName === "DETAILS" && name === "open";
    for (const { name } of [...old.attributes]) {
      if (!own(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (!own(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  function key(node) {
    return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.job || "" : "";
  }

  function morphChildren(old, fresh) {
    const kept = new Map([...old.childNodes].filter(key).map((node) => [key(node), node]));
    [...fresh.childNodes].forEach((node, index) => {
      const known = kept.get(key(node));
      if (known && known !== old.childNodes[index]) old.insertBefore(known, old.childNodes[index]);
      const current = old.childNodes[index];
      if (!current) old.append(node.cloneNode(true));
      else if (key(current) !== key(node)) old.insertBefore(node.cloneNode(true), current);
      else morph(current, node);
    });
    while (old.childNodes.length > fresh.childNodes.length) old.lastChild.remove();
  }

  async function refresh() {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("jobs-live");
    if (!fresh) throw new Error(`Flower answered ${answer.status}`);
    live.dataset.every = fresh.dataset.every;
    // What was seen last is worth more than an error page: it stays, and the error stands above it.
    if (!answer.ok && !live.dataset.problem) throw new Error(fresh.dataset.problem);
    morph(live, fresh);
  }

  function show(problem) {
    trouble.hidden = !problem;
    trouble.textContent = problem;
    live.classList.toggle("jk-stale", Boolean(problem));
    dot.className = "status-dot" + (problem ? " status-dot-error" : running ? " status-dot-live" : "");
    const every = Number(live.dataset.every);
    status.hidden = !every;
    pause.hidden = false;
    pause.textContent = running ? "Pause" : "Go on";
    when.textContent = !running ? "Paused" : problem ? `Trying again every ${every} s` :
      `Every ${every} s · ${new Date().toLocaleTimeString()}`;
  }

  async function tick() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    try {
      await refresh();
      show("");
    } catch (error) {
      show(error.name === "TypeError" || error.name === "TimeoutError" ? "Flower does not answer." : error.message);
    }
    asking = false;
    plan();
  }

  function plan() {
    clearTimeout(timer);
    const every = Number(live.dataset.every);
    if (running && every && !document.hidden) timer = setTimeout(tick, every * 1000);
  }

  pause.addEventListener("click", () => {
    running = !running;
    show("");
    if (running) tick();
    else clearTimeout(timer);
  });

  // A page nobody looks at asks nothing; a page somebody comes back to is fresh at once.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (running && Number(live.dataset.every)) tick();
  });

  show("");
  plan();
}());
