// One call over WebRTC: G.711 mu-law both ways, keys on a data channel. Knows nothing of the page.

const LEVEL_MS = 50;
const FIGURES_MS = 1000;

export class Phone extends EventTarget {
  #connection = null;
  #channel = null;
  #microphone = null;
  #audio = null;
  #timers = [];

  // Calls; `place(sdp)` takes our offer to the gateway and returns {call_id, sdp}. Throws what went wrong.
  async call(place, sink) {
    this.#microphone = await microphone();
    const connection = this.#connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const [voice] = this.#microphone.getAudioTracks();
    const transceiver = connection.addTransceiver(voice, { direction: "sendrecv", streams: [this.#microphone] });
    transceiver.setCodecPreferences(onlyMuLaw());
    this.#channel = connection.createDataChannel("phone");
    connection.addEventListener("track", (event) => this.#hear(event, sink));
    connection.addEventListener("connectionstatechange", () => this.#tell("state", connection.connectionState));
    await connection.setLocalDescription();
    const placed = await place(connection.localDescription.sdp);
    if (this.#connection !== connection) return null; // hung up meanwhile
    await connection.setRemoteDescription({ type: "answer", sdp: placed.sdp });
    return placed.call_id;
  }

  press(digit) {
    return this.#say({ type: "key", digit });
  }

  mute(muted) {
    for (const track of this.#microphone?.getTracks() ?? []) track.enabled = !muted;
  }

  hangUp() {
    this.#say({ type: "hang_up" });
    // What was said last still leaves: a connection that is closed at once takes it along.
    setTimeout(() => this.close(), 100);
  }

  close() {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#connection?.close();
    this.#audio?.close();
    this.#connection = this.#channel = this.#microphone = this.#audio = null;
  }

  #say(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  #hear(event, sink) {
    const stream = new MediaStream([event.track]);
    sink.srcObject = stream;
    this.#audio = new AudioContext();
    const levels = { agent: this.#meter(stream), own: this.#meter(this.#microphone) };
    this.#timers.push(
      setInterval(() => this.#tell("levels", { agent: levels.agent(), own: levels.own() }), LEVEL_MS),
      setInterval(() => this.#figures(), FIGURES_MS),
    );
  }

  // Returns a function that tells how loud a stream is, 0 to 1 over 60 dB.
  #meter(stream) {
    const analyser = this.#audio.createAnalyser();
    analyser.fftSize = 512;
    this.#audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    return () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-9)) / 60));
    };
  }

  async #figures() {
    const report = await this.#connection?.getStats();
    if (!report) return;
    const codecs = new Set();
    let lost = 0;
    for (const part of report.values()) {
      if (part.type === "inbound-rtp") lost = part.packetsLost;
      if (part.type === "inbound-rtp" || part.type === "outbound-rtp") codecs.add(report.get(part.codecId)?.mimeType);
    }
    this.#tell("figures", { codecs: [...codecs].filter(Boolean), lost });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// Echo cancellation stays on: over a loudspeaker the agent would interrupt itself. The rest would change the voice.
async function microphone() {
  if (!navigator.mediaDevices) throw new Error("This browser gives no microphone here: use https or 127.0.0.1.");
  try {
    const audio = { echoCancellation: true, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(
      error.name === "NotAllowedError" ? "The browser may not use the microphone." : "No microphone was found.",
    );
  }
}

function onlyMuLaw() {
  const codecs = RTCRtpReceiver.getCapabilities("audio").codecs.filter((codec) => codec.mimeType === "audio/PCMU");
  if (!codecs.length) throw new Error("This browser does not speak G.711 mu-law.");
  return codecs;
}
