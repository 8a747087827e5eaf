// Put into the page before its own scripts: keeps every encoded packet of the call, both ways, and the answer's loudness.
// The packets are those between the browser's codec and its RTP: what is in them is what travels.
window.tapped = { sent: [], received: [], loudness: [], stats: null };

(() => {
  const Original = window.RTCPeerConnection;

  function tap(end, packets) {
    const { readable, writable } = end.createEncodedStreams();
    const keep = new TransformStream({
      transform(frame, controller) {
        packets.push(new Uint8Array(frame.data.slice(0)));
        controller.enqueue(frame);
      },
    });
    readable.pipeThrough(keep).pipeTo(writable);
  }

  function listen(track) {
    const context = new AudioContext({ sampleRate: 8000 });
    const ear = context.createScriptProcessor(256, 1, 1); // 32 ms; a worklet would need a script that the page forbids
    ear.onaudioprocess = (event) => {
      const samples = event.inputBuffer.getChannelData(0);
      window.tapped.loudness.push(Math.sqrt(samples.reduce((sum, it) => sum + it * it, 0) / samples.length));
    };
    context.createMediaStreamSource(new MediaStream([track])).connect(ear);
    ear.connect(context.destination);
    window.tapped.context = context; // else it is collected
  }

  window.RTCPeerConnection = class extends Original {
    constructor(options) {
      super({ ...options, encodedInsertableStreams: true });
      window.tapped.connection = this;
      this.addEventListener("track", (event) => {
        tap(event.receiver, window.tapped.received);
        listen(event.track);
      });
    }

    addTransceiver(...given) {
      const transceiver = super.addTransceiver(...given);
      tap(transceiver.sender, window.tapped.sent);
      return transceiver;
    }
  };
})();

window.packets = (name) =>
  btoa(window.tapped[name].map((packet) => String.fromCharCode(...packet)).join(""));

window.codecs = async () => {
  const report = await window.tapped.connection.getStats();
  const rtp = [...report.values()].filter((part) => part.type === "inbound-rtp" || part.type === "outbound-rtp");
  return rtp.map((part) => ({
    way: part.type,
    codec: report.get(part.codecId)?.mimeType,
    packets: part.packetsReceived ?? part.packetsSent,
    lost: part.packetsLost ?? 0,
  }));
};
