"""Small KLARF files as tools write them, made up here: one of each kind of list."""

FILE_12 = """FileVersion 1 2;
FileTimestamp 03-04-26 10:20:30;
TiffSpec 6.0 G R;
InspectionStationID "Maker" "Tool 7" "3";
SampleType WAFER;
ResultTimestamp 03-04-2026 10:20:00;
LotID "L1";
SampleSize 1 300;
DeviceID "D";
SetupID "recipe; a" 03-03-26 01:02:03;
StepID "M1";
SampleOrientationMarkType NOTCH;
OrientationMarkLocation DOWN;
DiePitch 1.00000e+004 5.0e3;
DieOrigin 0.0 0.0;
WaferID "W01";
Slot 1;
SampleCenterLocation 5000.0 2500.0;
ClassLookup 2
 0 "Unclassified"
 7 "Scratch";
VendorRecord "kept" 1 2 3;
InspectionTest 1;
SampleTestPlan 3
 0 0
 -1 0 1 -1;
AreaPerTest 7.5e10;
DefectRecordSpec 13 DEFECTID XREL YREL XINDEX YINDEX XSIZE YSIZE DEFECTAREA
 CLASSNUMBER TEST ROUGHBINNUMBER IMAGECOUNT IMAGELIST ;
DefectList;
TiffFileName a.tif;
DefectList
 1 100.5 200 0 0 1.5 2 3 0 1 0 2 2 1 0 2 0
 2 4000 1000 -1 0 5 5
   20 7 1 0 0 0;
TiffFileName b.jpg;
DefectList
 3 1 2 1 -1 1 1 9999999999.5 0 1 0 1 1 1 0;
SummarySpec 5 TESTNO NDEFECT DEFDENSITY NDIE NDEFDIE ;
SummaryList
 1 3 0.1 3 3 ;
WaferID "W02";
Slot 2;
DefectList
 1 10 20 0 0 1 1 1 0 1 0 0 0;
EndOfFile;
"""

FILE_18 = """Record FileRecord  "1.8"
{
  Record LotRecord "L1"
  {
    Record WaferRecord "W01"
    {
      Field DieOrigin 2 {0, 0}
      Field SampleCenterLocation 2 {5000000, 2500000}
      Field SlotNumber 1 {1}
      List DefectList
      {
        Columns 13 { int32 DEFECTID, int32 XREL, int32 YREL, int32 XINDEX, int32 YINDEX,
          int32 XSIZE, int32 YSIZE, float DEFECTAREA, int32 CLASSNUMBER, int32 TEST,
          int32 ROUGHBINNUMBER, float PHI, ImageList IMAGEINFO }
        Data 3
        {
          1 100500 200000 0 0 1500 2000 3000000 0 1 0 0.5
            Images 2 { "d/1.png" "PNG" 1 "Patch", "d/1b.png" "PNG" 1 "Ref" };
          2 4000000 1000000 -1 0 5000 5000
            20000000 7 1 0 NA N;
          3 1000 2000 1 -1 1000 1000 9999999999500000 0 1 0 0 N;
        }
      }
      Record TestRecord "1"
      {
        Field AreaPerTest 1 {7.5e+016}
        List SampleTestPlanList
        {
          Columns 2 { int32 XINDEX, int32 YINDEX }
          Data 3 { 0 0; -1 0; 1 -1; }
        }
      }
      Record SummaryRecord { }
    }
    Field DeviceID 1 {"D"}
    Field DiePitch 2 {10000000, 5000000}
    Field SampleSize 2 {300000000, 0}
    Field OrientationMarkLocation 1 {0}
    List ClassLookupList
    {
      Columns 3 { int32 CLASSNUMBER, string CLASSNAME, string CLASSCODE }
      Data 2
      {
         0 "Unclassified" "";
         7 "Scratch" "S";
      }
    }
  }
  Field FileTimestamp 2 {"2026-03-04", "10:20:30"}
}
EndOfFile;
"""
