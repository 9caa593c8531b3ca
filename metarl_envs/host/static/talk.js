// The connection of a page: it comes back by itself when it is lost, by the token behind the # of the link.

const FINAL = new Set([4001, 4003, 4008]);

export function connect(heard, changed) {
  const token = location.hash.slice(1);
  let socket = null, pause = 250, isOver = false;

  function open() {
    const address = new URL("talk", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    socket = new WebSocket(address);
    socket.onopen = () => {
      pause = 250;
      send({ kind: "enter", token });
      changed("open", "");
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      isOver ||= message.kind === "over" || message.kind === "failed";
      heard(message);
    };
    socket.onclose = (event) => {
      if (isOver) return;
      if (FINAL.has(event.code)) {
        changed("ended", event.reason);
        return;
      }
      changed("lost", "");
      setTimeout(open, pause);
      pause = Math.min(2 * pause, 4000);
    };
  }

  function send(message) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  addEventListener("hashchange", () => location.reload());
  open();
  return send;
}

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(className, text, pressed) {
  const made = element("button", className, text);
  made.type = "button";
  if (pressed) made.addEventListener("click", pressed);
  else made.disabled = true;
  return made;
}
