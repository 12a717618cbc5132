from sleep2vec.cli.main import run

run()
