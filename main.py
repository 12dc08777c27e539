# Starts the battery logger: app/start.py is how, app/app.py the logger itself
from app import start

app = start.make_app()  # stays in reach of the REPL: app.store.frames
if app:
    start.run(app)
