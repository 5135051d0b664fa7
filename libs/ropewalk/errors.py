"""The root of every error that Ropewalk raises, and the tree that hangs below it.

An error is defined in the room that raises it; whoever shows errors to people catches the root or one branch. An
error that stands for one of Python's has that as a second base, so `except ValueError` and `except OSError` see it.

RopewalkError
├── BusError, ConflictError, MalformedMessageError   the bus refused a send, a state or a body    bus
├── WireError                     the server cannot be reached; also an OSError                   bus
├── NotNowError, RefusedSendError   what the server answers to one send; never leave the room       bus
├── UnknownMessageError           a message type that is not ours                                 events
├── StageError, LeaseLostError, WorkRaisedError, ChildDiedError   how the work of a stage ends    stages
├── BackupError                   a folder or a server is not fit for a backup or a restore       admin
├── ApprovalKeyError              a file holds no seed of a person who approves                    admin
├── StorageError                  a folder of objects is missing or not as it was written         storage
├── ModelError                    a model, its tokenizer or a request to it                       model
├── RecipeError                   a recipe cannot be run                                          recipes
├── TaskSetError                a task set or a judge cannot be used                          tasksets
├── EndpointError, NoAnswerError  an endpoint of somebody else cannot be asked, or did not answer  usecases
├── CorpusError                   a source, a file or a ledger cannot be read                     corpus
├── QuestionError, SnapshotError  a projection cannot answer, or not go on from its file          projections
├── ListenError, ForeignFolderError, SettingsError   the surroundings of a service                runtime
├── ClientError                   what a user of the SDK or the command line can mend             client
├── LocalError                    the embedded stack                                              local
├── DrillError                    a drill cannot be played                                        drills
├── StackGoneError, UnknownStatusError   what a command watches or lists is not there             cli
├── AnalyticsError                the column store and its door                                   monitor
├── ServingError                  the endpoint and its backend                                    serving
└── TrainingError, HostsLostError   training cannot go on; the workers have no place just now      trainer
"""


class RopewalkError(Exception):
    """The root. The text is a sentence that says what is wrong, and where it can what to do about it."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What to tell a person, a line each."""
        return (str(self),)
