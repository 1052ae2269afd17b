"use strict";
// The moment under the pointer as a line in all pictures of the same time, with the numbers of that moment beside it.
// Everything can be read without this.
(() => {
  const pictures = [...document.querySelectorAll("svg[data-end]")];
  const label = document.createElement("div");
  label.className = "moment";
  label.hidden = true;
  document.body.append(label);
  const lines = pictures.map(picture => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", "cross");
    picture.append(line);
    return line;
  });
  const rates = document.querySelector("svg[data-bin]");
  const list = name => rates ? rates.dataset[name].split(" ").map(Number) : [];
  const sent = list("sent"), received = list("received");
  const rate = n => {
    let unit = 0;
    for (; n >= 999.5 && unit < 4; unit++) n /= 1000;
    return (n < 10 && unit > 0 ? n.toFixed(1) : Math.round(n)) + " " + ["B", "kB", "MB", "GB", "TB"][unit] + "/s";
  };
  const hide = () => {
    label.hidden = true;
    for (const line of lines) line.removeAttribute("d");
  };
  const show = (picture, event) => {
    const frame = picture.getBoundingClientRect(), box = picture.viewBox.baseVal, d = picture.dataset;
    const part = ((event.clientX - frame.left) / frame.width * box.width - d.x0) / (d.x1 - d.x0);
    if (part < 0 || part > 1) return hide();
    pictures.forEach((other, i) => {
      const x = Number(other.dataset.x0) + part * (other.dataset.x1 - other.dataset.x0);
      lines[i].setAttribute("d", `M${x.toFixed(1)} 0V${other.viewBox.baseVal.height}`);
    });
    const at = part * d.end, bin = rates ? Math.min(Math.floor(at / rates.dataset.bin), sent.length - 1) : -1;
    label.textContent = at.toFixed(at < 100 ? 2 : 1) + " s" + (bin < 0 ? "" : ` · sent ${rate(sent[bin])} · received ${rate(received[bin])}`);
    label.hidden = false;
    label.style.left = Math.min(event.clientX + 12, innerWidth - label.offsetWidth - 4) + "px";
    label.style.top = Math.max(event.clientY - 30, 2) + "px";
  };
  for (const picture of pictures) {
    picture.addEventListener("pointermove", event => show(picture, event));
    picture.addEventListener("pointerleave", hide);
  }
})();
