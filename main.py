# Starts the battery logger; start.py is how, app.py the logger itself
import start

app = start.make_app()  # stays in reach of the REPL: app.store.frames
if app:
    start.run(app)
