import { Phone } from "./phone.js";
import { Story, whyEnded } from "./story.js";

const BASE = "/console";
const at = (id) => document.getElementById(id);
const story = new Story(at("story"));
let call = null; // {phone, id, events, began, clock}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const request = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(BASE + path, request);
  } catch {
    throw new Refused(0, "The gateway does not answer.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said.error?.message ?? `The gateway answered ${answer.status}.`);
  return said;
}

function problem(text) {
  at("problem").textContent = text ?? "";
  at("problem").hidden = !text;
}

// Runs what a button does; says what went wrong, and asks for the key again when the session is over.
function doing(work) {
  return async (event) => {
    event?.preventDefault?.();
    problem();
    try {
      await work(event);
    } catch (error) {
      problem(error.message);
      if (error.status === 401) show(null, []);
    }
  };
}

function show(who, agents, needsKey = true) {
  at("sign-in").hidden = who !== null;
  at("desk").hidden = who === null;
  at("who").hidden = who === null;
  at("sign-out").hidden = !needsKey;
  at("name").textContent = who ?? "";
  const chosen = at("agent").value;
  at("agent").replaceChildren(...agents.map(({ name }) => new Option(name, name, false, name === chosen)));
}

async function begin() {
  let session = await ask("GET", "/session");
  if (session.who === null && !session.needs_key) {
    await ask("POST", "/session", {});
    session = await ask("GET", "/session");
  }
  show(session.who, session.agents, session.needs_key);
}

async function signIn() {
  await ask("POST", "/session", { key: at("key").value });
  at("key").value = "";
  await begin();
}

async function signOut() {
  call?.phone.hangUp();
  await ask("DELETE", "/session");
  at("sign-out").blur();
  show(null, []);
}

function state(name, text) {
  at("state").dataset.state = name;
  at("state").textContent = text;
}

async function dial() {
  const phone = new Phone();
  const current = call = { phone, id: null, events: null, began: 0, clock: null };
  story.clear();
  at("empty").hidden = true;
  at("keys").textContent = "";
  for (const id of ["latency", "codec", "lost"]) at(id).textContent = "–";
  inCall(true);
  state("calling", "Connecting…");
  phone.addEventListener("state", ({ detail }) => connection(current, detail));
  phone.addEventListener("levels", ({ detail }) => {
    level("level", detail.agent);
    level("own-level", detail.own);
  });
  phone.addEventListener("figures", ({ detail }) => {
    at("codec").textContent = detail.codecs.map((name) => name.replace("audio/", "")).join(", ") || "–";
    at("lost").textContent = detail.lost;
  });
  try {
    current.id = await phone.call((sdp) => place(current, sdp), at("answer"));
  } catch (error) {
    over(current, "failed", "Failed");
    throw error;
  }
}

async function place(current, sdp) {
  const placed = await ask("POST", "/calls", { agent: at("agent").value, sdp });
  current.id = placed.call_id;
  watch(current);
  return placed;
}

function watch(current) {
  const events = current.events = new EventSource(`${BASE}/calls/${current.id}/events`);
  events.addEventListener("message", ({ data }) => {
    const event = JSON.parse(data);
    story.take(event);
    if (event.type === "latency") at("latency").textContent = `${(event.ms / 1000).toFixed(2)} s`;
    if (event.type === "operator") operated(event);
    if (event.type === "state" && event.state === "recovering") state("recovering", "Recovering…");
    if (event.type === "state" && event.state === "ready" && current.began) state("live", "In call");
    if (event.type === "end") over(current, "idle", `Ended: ${whyEnded(event.reason)}`);
  });
}

function connection(current, name) {
  if (name === "connected" && !current.began) {
    current.began = performance.now();
    current.clock = setInterval(() => tick(current), 500);
    at("clock").hidden = false;
    tick(current);
    state("live", "In call");
  }
  if (name === "failed") over(current, "failed", "The connection failed");
}

function tick(current) {
  const seconds = Math.floor((performance.now() - current.began) / 1000);
  at("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function over(current, name, text) {
  current.events?.close();
  clearInterval(current.clock);
  current.phone.close();
  if (call !== current) return;
  call = null;
  state(name, text);
  inCall(false);
}

function hangUp() {
  const current = call;
  if (!current) return;
  current.phone.hangUp();
  // The gateway tells how the call ended; without it the page has to say so itself.
  setTimeout(() => call === current && over(current, "idle", "Ended"), 1500);
}

function inCall(on) {
  at("call").hidden = on;
  at("hang-up").hidden = !on;
  at("in-call").hidden = !on;
  at("figures").hidden = false;
  at("agent").disabled = on;
  level("level", 0);
  level("own-level", 0);
  muted(false);
}

// Style by script: the page's policy forbids it in attributes only.
function level(id, part) {
  at(id).firstElementChild.style.width = `${Math.round(100 * part)}%`;
}

function muted(on) {
  at("mute").setAttribute("aria-pressed", String(on));
  at("mute").textContent = on ? "Muted" : "Mute";
}

async function command(action) {
  if (!call?.id) return;
  await ask("POST", `/calls/${call.id}/commands`, { id: crypto.randomUUID(), action });
}

// The microphone is silent at once; the gateway's operator desk makes the model hear silence, and writes it down.
async function toggleMute() {
  const on = at("mute").getAttribute("aria-pressed") !== "true";
  call?.phone.mute(on);
  muted(on);
  await command(on ? "mute_caller" : "unmute");
}

function operated({ action }) {
  const notes = { MuteCaller: "you are muted", Unmute: "you are heard again", ForceReply: "a reply was asked for" };
  if (notes[action]) story.note(notes[action]);
}

function press(digit) {
  if (call?.phone.press(digit)) at("keys").textContent = (at("keys").textContent + digit).slice(-24);
}

at("keypad").append(
  ...[..."123456789*0#"].map((digit) => {
    const key = document.createElement("button");
    key.type = "button";
    key.textContent = digit;
    key.addEventListener("click", () => press(digit));
    return key;
  }),
);
at("pad").open = matchMedia("(min-width: 44rem)").matches;
at("sign-in").addEventListener("submit", doing(signIn));
at("sign-out").addEventListener("click", doing(signOut));
at("call").addEventListener("click", doing(dial));
at("hang-up").addEventListener("click", hangUp);
at("mute").addEventListener("click", doing(toggleMute));
at("force").addEventListener("click", doing(() => command("force_reply")));
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (!typing && !event.repeat && /^[0-9*#]$/.test(event.key) && !event.ctrlKey && !event.metaKey) press(event.key);
});
addEventListener("pagehide", () => call?.phone.hangUp());
doing(begin)();
