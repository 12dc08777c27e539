# Starts the battery logger: app/start.py is how, app/app.py the logger itself
from app import run, start

app = start.make_app()  # stays in reach of the REPL: app.batteries[0].store.frames
del start  # its memory is the app's now
if app:
    run.run(app)
