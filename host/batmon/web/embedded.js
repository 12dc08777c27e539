// The page of `batmon report`: its batteries are in it.
const DATA = JSON.parse(document.getElementById("data").textContent);
show(DATA.batteries, DATA.tz).then(() => {
  document.body.dataset.ready = Math.round(performance.now());
});
