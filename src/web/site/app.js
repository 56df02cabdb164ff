// Keeps pages up to date: times advance, parts are replaced when something happens, output is followed, buttons work. Without it everything can be read.
"use strict";

// How long changes are collected. Pages that need many rows are asked for less often.
const REFRESH_MS = { "/": 3000, "/timeline": 10000 }[location.pathname] || 1500;
const RETRY_MS = 5000;
const LONGEST_OUTPUT = 262144;

// Times as people say them; the same rules as on the server.
function span(seconds) {
  if (seconds < 60) return seconds + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h";
  return Math.floor(seconds / 86400) + " d";
}

function relative(seconds) {
  if (seconds === 0) return "now";
  return seconds > 0 ? "in " + span(seconds) : span(-seconds) + " ago";
}

function two(number) {
  return String(number).padStart(2, "0");
}

function duration(seconds) {
  if (seconds < 60) return seconds + "s";
  if (seconds < 3600) return Math.floor(seconds / 60) + "m" + two(seconds % 60) + "s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + "h" + two(Math.floor((seconds % 3600) / 60)) + "m";
  return Math.floor(seconds / 86400) + "d" + two(Math.floor((seconds % 86400) / 3600)) + "h";
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  if (document.hidden) return;
  const now = Math.floor(Date.now() / 1000);
  for (const time of document.querySelectorAll("time[data-relative]")) {
    setText(time, relative(Math.floor(Date.parse(time.dateTime) / 1000) - now));
  }
  for (const time of document.querySelectorAll("time[data-since]")) {
    setText(time, duration(Math.max(0, now - Math.floor(Date.parse(time.dateTime) / 1000))));
  }
}

function say(message) {
  const toast = document.getElementById("toast");
  const line = document.createElement("p");
  line.textContent = message;
  toast.replaceChildren(line);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.replaceChildren(), 6000);
}

// Says what does not work for as long as it does not.
function notice(message) {
  const place = document.getElementById("notice");
  if (!place) return;
  if (!message) {
    place.replaceChildren();
  } else if (place.textContent !== message) {
    const line = document.createElement("p");
    line.className = "banner held";
    line.textContent = message;
    place.replaceChildren(line);
  }
}

// Why the server refuses a stream: an EventSource is not told. Null if it does not refuse it, or does not answer.
async function refusalOf(address) {
  const request = new AbortController();
  try {
    const response = await fetch(address, { cache: "no-store", signal: request.signal });
    if (response.status !== 503 && response.status !== 429) return null;
    return (await response.text()).trim();
  } catch {
    return null;
  } finally {
    request.abort();
  }
}

// Parts of the page that have an id are replaced by their new state, unless somebody is using them.
let refreshing = false;
let again = false;

async function refresh() {
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    // Output of which the end was in sight, as that of a run that has just ended, is shown from there again.
    const outputs = () => [...document.querySelectorAll("pre.output")];
    const ends = outputs().map((box) => box.scrollTop > 0 && isAtEnd(box));
    replaceParts(page);
    outputs().forEach((box, number) => ends[number] && toEnd(box));
  } catch {
    // The server has gone; what is shown stays.
  }
  refreshing = false;
  if (again) {
    again = false;
    later();
  }
}

function replaceParts(page) {
  const [old, fresh] = [document.getElementById("main"), page.getElementById("main")];
  if (!old || !fresh) return;
  const parts = (main) => [...main.querySelectorAll("[id]")].filter((part) => /^(DIV|SECTION|P)$/.test(part.tagName));
  const names = (main) => parts(main).map((part) => part.id).join(" ");
  document.title = page.title;
  for (const name of ["live", "job"]) {
    if (name in fresh.dataset) old.dataset[name] = fresh.dataset[name];
    else delete old.dataset[name];
  }
  if (names(old) !== names(fresh)) {
    const focused = document.activeElement && document.activeElement.id;
    old.replaceChildren(...fresh.childNodes);
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
    begin(old);
    return;
  }
  for (const part of parts(fresh)) {
    const place = document.getElementById(part.id);
    const active = document.activeElement;
    const isInside = place && place.contains(active);
    if (!place || sameBut(place, part) || (isInside && /^(SELECT|INPUT|TEXTAREA)$/.test(active.tagName))) continue;
    const target = targetOf(active);
    const boxes = (of) => [...of.querySelectorAll(".scroll")];
    const scrolled = boxes(place).map((box) => box.scrollLeft);
    place.replaceWith(part);
    const open = new Set([...place.querySelectorAll("details[open][data-of]")].map((details) => details.dataset.of));
    for (const details of part.querySelectorAll("details[data-of]")) details.open = open.has(details.dataset.of);
    boxes(part).forEach((box, number) => (box.scrollLeft = scrolled[number] || 0));
    begin(part);
    if (isInside) {
      const links = [...part.querySelectorAll("button, a")];
      const again = links.find((link) => targetOf(link) === target) || links[0];
      if (again) again.focus();
    }
  }
}

// What a button or a link is for.
function targetOf(element) {
  return element.dataset.post || element.getAttribute("href");
}

// Whether two parts differ in nothing but what the clock and the script have done.
function sameBut(one, other) {
  const plain = (part) => {
    const copy = part.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.textContent = "";
    for (const output of copy.querySelectorAll("[data-follow]")) {
      output.textContent = "";
      delete output.dataset.refused;
    }
    for (const hidden of copy.querySelectorAll("[data-needs-script]")) hidden.hidden = true;
    for (const details of copy.querySelectorAll("details[data-of]")) details.open = false;
    for (const button of copy.querySelectorAll("button")) {
      button.disabled = false;
      if (!("confirm" in button.dataset)) continue;
      button.textContent = "";
      delete button.dataset.armed;
    }
    return copy.outerHTML;
  };
  return plain(one) === plain(other);
}

let pending = null;
function later() {
  if (pending === null) {
    pending = setTimeout(() => {
      pending = null;
      refresh();
    }, REFRESH_MS);
  }
}

// What happens, as the daemon tells it. A page that nobody looks at listens to nothing.
let events = null;
let retry = null;

function listen() {
  const main = document.getElementById("main");
  if (!main || !("live" in main.dataset) || document.hidden || events) return;
  clearTimeout(retry);
  events = new EventSource("/events");
  let isOpen = false;
  events.addEventListener("open", () => {
    isOpen = true;
    notice("");
    // A page in place of another one, as the daemon did not answer: now it does.
    if (main.dataset.live === "retry") later();
  });
  events.addEventListener("change", (event) => {
    const about = JSON.parse(event.data);
    if (!main.dataset.job || !about.job || about.job === main.dataset.job) later();
  });
  events.addEventListener("error", () => {
    if (events) events.close();
    events = null;
    clearTimeout(retry);
    retry = setTimeout(() => {
      refresh();
      listen();
    }, RETRY_MS);
    if (!isOpen && main.dataset.live !== "retry") sayWhyNotLive();
  });
}

async function sayWhyNotLive() {
  const why = await refusalOf("/events");
  if (why && !events) notice(`Live updates are refused: ${why}. Meanwhile this page is asked for every ${RETRY_MS / 1000} s.`);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(retry);
    if (events) events.close();
    events = null;
  } else {
    tick();
    refresh();
    listen();
  }
});

const isAtEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
const toEnd = (box) => (box.scrollTop = box.scrollHeight);

// Output of a run in progress.
function follow(box) {
  const source = new EventSource(box.dataset.follow);
  let [isFirst, isOpen, isEndShown] = [true, false, true];
  box.addEventListener("scroll", () => (isEndShown = isAtEnd(box)), { passive: true });
  // A window that becomes narrower, as a telephone that is turned, has more lines of the same text.
  new ResizeObserver(() => isEndShown && toEnd(box)).observe(box);
  source.addEventListener("open", () => {
    isOpen = true;
    delete box.dataset.refused;
  });
  const add = (text, isError) => {
    if (isFirst) box.replaceChildren();
    isFirst = false;
    if (isError) {
      const part = document.createElement("span");
      part.className = "error";
      part.textContent = text;
      box.append(part);
    } else {
      box.append(text);
    }
    let size = box.textContent.length;
    while (size > LONGEST_OUTPUT && box.firstChild !== box.lastChild) {
      size -= box.firstChild.textContent.length;
      box.firstChild.remove();
    }
    if (isEndShown) toEnd(box);
  };
  toEnd(box);
  source.addEventListener("output", (event) => {
    const part = JSON.parse(event.data);
    add(part.text, part.error);
  });
  source.addEventListener("end", () => {
    source.close();
    delete box.dataset.follow;
    later();
  });
  source.addEventListener("cut", () => {
    source.close();
    delete box.dataset.follow;
    add("\n[more output is not shown here; see cronctl logs -f]\n", true);
  });
  source.addEventListener("error", async () => {
    source.close();
    const why = isOpen || "refused" in box.dataset ? null : await refusalOf(box.dataset.follow);
    if (why && document.contains(box)) {
      box.dataset.refused = "";
      add(`[the output is not followed: ${why}; trying again every ${RETRY_MS / 1000} s]\n`, true);
    }
    if (document.contains(box)) setTimeout(() => document.contains(box) && "follow" in box.dataset && follow(box), RETRY_MS);
  });
  const gone = new MutationObserver(() => {
    if (!document.contains(box)) {
      source.close();
      gone.disconnect();
    }
  });
  gone.observe(document.getElementById("main"), { childList: true, subtree: true });
}

async function post(address, body) {
  try {
    const response = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body });
    return { isWell: response.ok, isHtml: (response.headers.get("content-type") || "").startsWith("text/html"), text: await response.text() };
  } catch {
    return { isWell: false, isHtml: false, text: '{"message":"The server does not answer; is cronctl web still running?"}' };
  }
}

function messageOf(reply) {
  try {
    return JSON.parse(reply.text).message;
  } catch {
    return "That did not work.";
  }
}

async function press(button) {
  if (button.dataset.confirm && !("armed" in button.dataset)) {
    const words = button.textContent;
    button.dataset.armed = "";
    button.textContent = button.dataset.confirm;
    setTimeout(() => {
      delete button.dataset.armed;
      button.textContent = words;
    }, 4000);
    return;
  }
  const body = JSON.parse(button.dataset.body);
  const more = button.dataset.with && document.getElementById(button.dataset.with);
  if (more) body[more.name] = more.value;
  button.disabled = true;
  say(messageOf(await post(button.dataset.post, JSON.stringify(body))));
  button.disabled = false;
  // What has changed is taken in when the daemon tells of it; it may tell nothing.
  refresh();
}

async function check(form) {
  const result = form.querySelector(".result");
  const body = { line: form.elements.line.value, system: form.elements.system.checked, zone: form.elements.zone?.value };
  const reply = await post(form.dataset.check, JSON.stringify(body));
  if (reply.isWell && reply.isHtml) {
    result.replaceChildren(...new DOMParser().parseFromString(reply.text, "text/html").body.childNodes);
  } else {
    result.textContent = messageOf(reply);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) press(button);
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("form[data-check]")) {
    event.preventDefault();
    check(event.target);
  }
});

function begin(part) {
  const all = (selector) => [...(part.matches(selector) ? [part] : []), ...part.querySelectorAll(selector)];
  for (const element of all("[data-needs-script]")) element.hidden = false;
  for (const box of all("[data-follow]")) follow(box);
  for (const box of all(".scroll")) shiftNames(box);
}

// The names of a timeline's rows stay in sight when it is scrolled. The shift stands at the root, where a new drawing finds it.
function shiftNames(box) {
  const [drawing, root] = [box.firstElementChild, document.documentElement];
  if (!drawing || !drawing.matches("svg.tl")) return;
  const scale = drawing.viewBox.baseVal.width / drawing.getBoundingClientRect().width;
  root.style.setProperty("--tl-shift", `${box.scrollLeft * scale}px`);
  root.classList.toggle("tl-scrolled", box.scrollLeft > 0);
}

const onScroll = (event) => event.target instanceof Element && shiftNames(event.target);
document.addEventListener("scroll", onScroll, { capture: true, passive: true });

// A timeline that is wider than the window is shown around now, once.
function showNow() {
  for (const line of document.querySelectorAll(".scroll .tl-now-line")) {
    const [box, drawing] = [line.closest(".scroll"), line.ownerSVGElement];
    const share = line.x1.baseVal.value / drawing.viewBox.baseVal.width;
    box.scrollLeft = share * drawing.getBoundingClientRect().width - box.clientWidth / 2;
  }
}

begin(document.body);
showNow();
tick();
setInterval(tick, 1000);
listen();
