// The conversation as it happens: a bubble for each turn, what was heard of it and what was cut.

const ENDS = {
  caller_hangup: "you hung up", agent_hangup: "the agent hung up", operator_hangup: "an operator hung up",
  leg_lost: "the connection was lost", leg_broken: "the connection broke", never_started: "it was never connected",
  model_unreachable: "the model cannot be reached", model_refused: "the model refused the call",
  model_lost: "the model was lost", model_silent: "the model fell silent", response_failed: "the model failed",
  duration_limit: "it was too long", cost_limit: "it cost too much", idle: "nobody spoke", stopped: "it was stopped",
  transferred: "you were transferred", handed_over: "the gateway goes away", internal_error: "an error of the gateway",
};
const CUTS = {
  barge_in: "interrupted", cut_short: "cut short", dropped: "dropped", muted: "muted", cancelled: "cancelled",
};

export const whyEnded = (reason) => ENDS[reason] ?? reason;

export class Story {
  #list;
  #turns = new Map();

  constructor(list) {
    this.#list = list;
  }

  clear() {
    this.#list.replaceChildren();
    this.#turns.clear();
  }

  // Takes one event of the stream.
  take(event) {
    const taken = this[`_${event.type}`];
    if (taken) taken.call(this, event);
    this.#list.parentElement.scrollTop = this.#list.parentElement.scrollHeight;
  }

  note(text) {
    const line = document.createElement("li");
    line.className = "note";
    line.textContent = text;
    this.#list.append(line);
  }

  _speech({ item_id: id, speaking }) {
    const turn = this.#turn(id, "caller", "You");
    turn.element.classList.toggle("pending", speaking || !turn.text);
    if (!turn.text) turn.words.textContent = speaking ? "speaking…" : "…";
  }

  _caller({ item_id: id, text }) {
    const turn = this.#turn(id, "caller", "You");
    turn.text = text.trim();
    turn.words.textContent = turn.text || "(nothing understood)";
    turn.element.classList.remove("pending");
  }

  _agent({ item_id: id, text }) {
    const turn = this.#turn(id, "agent", "Agent");
    turn.text = text;
    this.#draw(turn);
  }

  _sent({ item_id: id, ms }) {
    this.#turn(id, "agent", "Agent").sentMs += ms;
  }

  _heard({ item_id: id, ms }) {
    const turn = this.#turn(id, "agent", "Agent");
    turn.heardMs += ms;
    turn.element.dataset.heardMs = turn.heardMs;
    turn.element.classList.remove("pending");
  }

  _cut({ item_id: id, why, heard_ms: heard, received_ms: received }) {
    const turn = this.#turns.get(id);
    if (!turn) return;
    turn.cutMs = heard ?? turn.heardMs;
    const of = received ? ` of ${seconds(received)}` : "";
    turn.fate.textContent = `${CUTS[why]}: ${turn.cutMs ? `heard ${seconds(turn.cutMs)}${of}` : "not heard"}`;
    turn.fate.hidden = false;
    this.#draw(turn);
  }

  _heard_text({ item_id: id, text }) {
    const turn = this.#turns.get(id);
    if (!turn) return;
    turn.heardText = text;
    this.#draw(turn);
  }

  _tool({ name }) {
    this.note(`function ${name} is called`);
  }

  _tool_done({ ok, elapsed_ms: ms }) {
    this.note(ok ? `its result came after ${seconds(ms)}` : "the function failed");
  }

  _key({ digit }) {
    this.note(`key ${digit}`);
  }

  _resumed() {
    this.note("no interruption: the agent goes on");
  }

  _missed({ entries }) {
    this.note(`${entries} events were missed`);
  }

  _end({ reason, duration_ms: ms, cost_usd: cost }) {
    this.note(`Call ended after ${seconds(ms)}: ${whyEnded(reason)}${cost ? ` · $${cost}` : ""}`);
  }

  #turn(id, side, name) {
    const known = this.#turns.get(id);
    if (known) return known;
    const element = document.createElement("li");
    element.className = `${side} pending`;
    element.dataset.item = id;
    const who = document.createElement("small");
    who.textContent = name;
    const words = document.createElement("p");
    words.textContent = "…";
    const fate = document.createElement("p");
    fate.className = "fate";
    fate.hidden = true;
    element.append(who, words, fate);
    this.#list.append(element);
    const turn = { element, words, fate, text: "", heardText: null, heardMs: 0, sentMs: 0, cutMs: null };
    this.#turns.set(id, turn);
    return turn;
  }

  // Shows the words of the agent's turn; those that nobody heard are struck out.
  #draw(turn) {
    const heard = turn.cutMs === 0 ? "" : turn.heardText;
    if (heard === null || !turn.text.startsWith(heard)) {
      turn.words.textContent = turn.text;
      return;
    }
    const rest = document.createElement("span");
    rest.className = "unheard";
    rest.textContent = turn.text.slice(heard.length);
    turn.words.replaceChildren(heard, rest);
  }
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
